"""A tutorial's accuracy over time, from the start of its process; measuring does not count."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable

STARTED = (  # the environment variable with time.monotonic() of the moment before the process was started
    "BENCHMARKS_STARTED"
)


class Curve:
    """Writes {"seconds", "score"} lines to the standard output it was started with; what libraries print goes
    to standard error."""

    def __init__(self) -> None:
        self._started, self._paused = float(os.environ.get(STARTED, time.monotonic())), 0.0
        self._lines = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def measure(self, score: Callable[[], float]) -> None:
        """Note what `score()` gives, at the moment before it is called; time stands still while it is
        measured."""
        now = time.monotonic()
        told = {"seconds": now - self._started - self._paused, "score": float(score())}
        self._lines.write(json.dumps(told) + "\n")
        self._lines.flush()
        self._paused += time.monotonic() - now
