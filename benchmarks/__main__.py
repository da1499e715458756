"""`python -m benchmarks`: ours and peers, side by side in turn.

    python -m benchmarks                            everything; RESULTS.md and RESULTS.json beside this file
    python -m benchmarks fashion_resnet adult       these only; RESULTS.md's other rows stay
    python -m benchmarks --only engines             engines, inference, startup or products
    python -m benchmarks --peers tuned,ours         only some contenders
    python -m benchmarks --missing                  what RESULTS.json does not hold yet
    python -m benchmarks --quick                    a few steps each: does everything run?

Peers live in an environment of their own, which `sh benchmarks/install.sh FOLDER` makes: name its interpreter
by --peers-python or in MAPSTO_PEERS. What needs nothing but torch runs in ours. Data: --data or MAPSTO_DATA.
Plans and variants that were measured on a busy machine are remembered in the --work folder: --fresh forgets
them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import results
from benchmarks.engines import Setting
from benchmarks.parts import PARTS, measures

HERE = Path(__file__).parent


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Ours against peers, side by side in turn."
    )
    made.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help="which (all); an unknown one is told which there are"
    )
    made.add_argument("--only", choices=PARTS, help="one part (all)")
    made.add_argument("--peers", help="contenders or tutorials, separated by commas (each workload's own)")
    made.add_argument("--missing", action="store_true", help="only what the results do not hold yet")
    made.add_argument("--quick", action="store_true", help="a few steps each: does everything run?")
    made.add_argument("--fresh", action="store_true", help="forget plans and variants measured before")
    made.add_argument("--rounds", type=int, default=5, help="turns of each contender (5)")
    made.add_argument("--seconds", type=float, default=2.0, help="seconds of a turn (2)")
    made.add_argument("--threads", type=int, help="processor threads of every contender (all)")
    made.add_argument(
        "--data", default=os.environ.get("MAPSTO_DATA"), help="folder with the data sets (MAPSTO_DATA)"
    )
    made.add_argument(
        "--work",
        default=str(Path(tempfile.gettempdir()) / "mapsto-benchmarks"),
        help="folder for prepared arrays, reused",
    )
    made.add_argument(
        "--peers-python",
        default=os.environ.get("MAPSTO_PEERS"),
        help="interpreter of the peers' environment (MAPSTO_PEERS)",
    )
    made.add_argument("--results", default=str(HERE), help="folder of RESULTS.md and RESULTS.json (this one)")
    return made


def main(arguments: list[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    if not asked.data:
        print("benchmarks: where are the data sets? --data FOLDER, or MAPSTO_DATA.", file=sys.stderr)
        return 2
    setting = setting_of(asked)
    record = results.Record(Path(asked.results), asked.peers_python)
    if asked.fresh:
        forget(setting.work)
    for part, name, measure in measures(asked.only, asked.workloads):
        if asked.missing and record.holds(part, name):
            continue
        start = time.perf_counter()
        found = measure(setting, asked.peers.split(",") if asked.peers else None)
        record.add(part, name, found, asked.quick)
        print(f"{results.line_of(part, name, found)}  ({time.perf_counter() - start:.0f} s)", flush=True)
    print("\n".join(results.bars_of(record.held)))
    return 0


def setting_of(asked: argparse.Namespace) -> Setting:
    rounds, seconds, steps = (1, 0.2, 2) if asked.quick else (asked.rounds, asked.seconds, 4)
    return Setting(
        Path(asked.data),
        Path(asked.work),
        asked.peers_python,
        asked.threads,
        rounds,
        seconds,
        steps,
        asked.quick,
    )


def forget(work: Path) -> None:
    """Plans of ours and variants of the tuned loop."""
    shutil.rmtree(work / "cache" / "plans", ignore_errors=True)
    for path in work.glob("*/tuned.json"):
        path.unlink()


if __name__ == "__main__":
    sys.exit(main())
