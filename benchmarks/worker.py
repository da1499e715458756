"""A contender's process: `python -m benchmarks.worker PEER WORKLOAD FOLDER` takes turns on standard input and
output (`clock.py`).

PEER is a file of `peers/`; "NAME@256" hands over a number of rows."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.clock import Clock, Over


def main(peer: str, workload: str, folder: str) -> None:
    try:
        clock = Clock()  # waits for the first turn before anything is loaded
        from benchmarks.task import Task
        from benchmarks.workloads import workload_of

        name, _, rows = peer.partition("@")
        task = Task(workload_of(workload), Path(folder))
        import_module(f"benchmarks.peers.{name}").run(task, clock, *([int(rows)] if rows else []))
    except Over:
        sys.stderr.flush()
        os._exit(0)  # at once: no library's clean-up belongs to a measurement


if __name__ == "__main__":
    main(*sys.argv[1:])
