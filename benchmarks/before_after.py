"""Two checkouts of mapsto in turn: is the one as fast as the other?

    python -m benchmarks.before_after OTHER_CHECKOUT fashion_resnet gpt_small sst2_transformer adult_mlp

Each prepares the workload and trains it with its own code, in processes that take turns (`turns.py`): a
ratio is the median of the rounds' ratios, ours to the other's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.engines import ROOT, WARM, Setting
from benchmarks.turns import Process, middle, ratio, take_turns


def contender(name: str, checkout: Path, workload: str, setting: Setting) -> Process:
    """One checkout's trainer on a workload that it has prepared itself."""
    own = replace(setting, work=setting.work / name)
    folder = own.work / workload
    folder.mkdir(parents=True, exist_ok=True)
    paths = os.pathsep.join([str(checkout / "src"), str(checkout)])
    environment = {**own.environment(), "PYTHONPATH": paths}
    python = [sys.executable, "-P", "-m"]  # -P: the module of the checkout, not of the folder we are in
    subprocess.run(
        [*python, "benchmarks.prepare", workload, str(setting.data), str(folder)],
        env={**os.environ, **environment},
        check=True,
        capture_output=True,
    )
    command = [*python, "benchmarks.worker", "ours", workload, str(folder)]
    return Process(name, command, environment, folder / f"{name}.log")


def main() -> int:
    asked = argparse.ArgumentParser(description="Two checkouts of mapsto in turn.")
    asked.add_argument("other", type=Path, help="the checkout to compare with")
    asked.add_argument("workloads", nargs="+", help="names of files in benchmarks/workloads")
    asked.add_argument("--data", type=Path, default=Path(os.environ.get("MAPSTO_DATA", "../shared/data")))
    asked.add_argument("--rounds", type=int, default=5)
    asked.add_argument("--seconds", type=float, default=4.0, help="of each turn")
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as work:
        for workload in given.workloads:
            setting = Setting(
                data=given.data.resolve(),
                work=Path(work),
                python=None,
                threads=None,
                rounds=given.rounds,
                seconds=given.seconds,
                steps=10,
            )
            both = {"ours": ROOT, "other": given.other.resolve()}
            made = [contender(name, checkout, workload, setting) for name, checkout in both.items()]
            found = take_turns(made, given.rounds, given.seconds, setting.steps, WARM)
            if any("failed" in one for one in found.values()):
                print(f"{workload:20} failed: {found}", flush=True)
                continue
            rates = {name: one["rates"] for name, one in found.items()}
            share = ratio(rates["ours"], rates["other"])
            rows = ", ".join(f"{name} {middle(values):,.0f} rows/s" for name, values in rates.items())
            print(f"{workload:20} {share:.3f}  ({rows})", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
