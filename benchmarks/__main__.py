"""`python -m benchmarks`: ours and peers, side by side in turn.

    python -m benchmarks                                every engine and product workload; RESULTS.md and RESULTS.json beside this file
    python -m benchmarks fashion_resnet gpt_small       these only; the other rows of RESULTS.md stay as they were measured before
    python -m benchmarks --peers tuned,ours             only some contenders
    python -m benchmarks --quick                        a few steps each: does everything run?

Peers live in an environment of their own, which `benchmarks/install.sh FOLDER` makes: name its interpreter by --peers-python or in
MAPSTO_PEERS; contenders that need nothing but torch run in ours. Data: --data or MAPSTO_DATA.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import engines, results
from benchmarks.workloads import names

HERE = Path(__file__).parent


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks", description="Ours against peers, side by side in turn.")
    made.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"which (all): {', '.join(names())}")
    made.add_argument("--peers", help="contenders, separated by commas (each workload's own)")
    made.add_argument("--quick", action="store_true", help="a few steps each: does everything run?")
    made.add_argument("--rounds", type=int, default=5, help="turns of each contender (5)")
    made.add_argument("--seconds", type=float, default=2.0, help="seconds of a turn (2)")
    made.add_argument("--threads", type=int, help="processor threads of every contender (all)")
    made.add_argument("--data", default=os.environ.get("MAPSTO_DATA"), help="folder with the data sets (MAPSTO_DATA)")
    made.add_argument("--work", default=str(Path(tempfile.gettempdir()) / "mapsto-benchmarks"), help="folder for prepared arrays, reused")
    made.add_argument("--peers-python", default=os.environ.get("MAPSTO_PEERS"), help="interpreter of the peers' environment (MAPSTO_PEERS)")
    made.add_argument("--results", default=str(HERE), help="folder of RESULTS.md and RESULTS.json (this one)")
    return made


def main(arguments: list[str] | None = None) -> int:
    asked = parser().parse_args(arguments)
    if not asked.data:
        print("benchmarks: where are the data sets? --data FOLDER, or MAPSTO_DATA.", file=sys.stderr)
        return 2
    setting = engines.Setting(
        Path(asked.data),
        Path(asked.work),
        asked.peers_python,
        asked.threads,
        1 if asked.quick else asked.rounds,
        0.2 if asked.quick else asked.seconds,
        2 if asked.quick else 4,
    )
    record = results.Record(Path(asked.results))
    for name in asked.workloads or names():
        start = time.perf_counter()
        found: dict[str, Any] = engines.compare(name, setting, asked.peers.split(",") if asked.peers else None)
        record.add("engines", name, found, asked.quick)
        print(f"{results.row_of(name, found)}  ({time.perf_counter() - start:.0f} s)", flush=True)
    record.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
