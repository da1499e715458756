"""A contender's side of the turns: count rows while it is our turn, report, and wait.

The keeper of time (`turns.py`) writes one JSON line a turn to our standard input, {"seconds": 2.0, "steps":
3, "quick": false}; when the turn is over we answer {"rows": 2560, "steps": 20, "seconds": 2.07, "cpu": 4.1}
on the standard output we were started with. What a library prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


class Over(BaseException):
    """No turn is left. Not an Exception: a library that catches those must let it through."""


class Clock:
    """Made before anything heavy is loaded: it waits for the first turn, so that no two contenders load at
    once."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._begun = False
        self._wait()

    def step(self, rows: int) -> None:
        """Called after every step of learning. Between two turns it does not return; Over when there are no
        more.

        The first step of all, in which nets are compiled, starts the first turn's time instead of counting.
        """
        if not self._begun:
            self._begun = True
            self._start()
            return
        self._rows, self._steps = self._rows + rows, self._steps + 1
        took = time.perf_counter() - self._since
        if took >= self._seconds and self._steps >= self._least:
            cpu = time.process_time() - self._cpu
            self.answer({"rows": self._rows, "steps": self._steps, "seconds": took, "cpu": cpu})
            self._wait()

    def answer(self, record: dict[str, Any]) -> None:
        self._answers.write(json.dumps(record) + "\n")
        self._answers.flush()

    def _wait(self) -> None:
        line = sys.stdin.readline()
        if not line.strip():
            raise Over
        asked = json.loads(line)
        self._seconds, self._least = asked["seconds"], asked["steps"]
        self.quick: bool = asked.get("quick", False)  # a contender that searches may then leave it
        self._start()

    def _start(self) -> None:
        self._rows = self._steps = 0
        self._since, self._cpu = time.perf_counter(), time.process_time()
