"""Fewer threads while others hold the processors: threads that wait for each other then take many times what
one alone does (with two busy neighbours on two cores, pictures of 8 × 8: 0.85 s a step by two, 0.12 by one).
Tried where steps have become slow, kept where it helps, and recorded, for the order of sums depends on it.
Neighbours go: the threads that were there before are tried again after half a minute of learning, and after
twice as long each time that they gain nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

SLOW = 2.0  # times the seconds that a step took, or was planned to take
LONG, STEPS = 2.0, 2  # seconds and steps of a stretch that is judged
GAIN = 1.15  # times faster that other threads must be
AGAIN = 30.0  # seconds of learning with fewer threads, until all are tried again


class Crowd:
    """decide: records a decision and puts it into effect. planned: seconds of a step."""

    def __init__(self, decide: Callable[..., None], planned: float):
        self._decide = decide
        self._best = planned or math.inf
        self._from = (0, 0.0)  # steps and seconds of learning at the begin of the stretch
        self._before: tuple[int, float] | None = (
            None  # threads, and seconds of a step, before others were tried
        )
        self._settled = False
        self._most = 0  # threads before any were taken away
        self._pause, self._again = (
            AGAIN,
            math.inf,
        )  # seconds between two trials of all; of learning at the next

    def look(self, step: int, threads: int, steps: int, seconds: float) -> None:
        """threads: that learn; steps, seconds: taken so far in learning alone."""
        done, took = steps - self._from[0], seconds - self._from[1]
        if done < STEPS or took < LONG:
            return
        self._from = (steps, seconds)
        self._most = max(self._most, threads)
        self._judge(step, threads, took / done, seconds)

    def _judge(self, step: int, threads: int, now: float, seconds: float) -> None:
        if self._before is not None:
            if not self._gained(step, threads, now, seconds):
                return
        elif not self._settled and now > SLOW * self._best and threads > 1:
            self._before = (threads, now)
            why = f"the machine is busy: {now:.2g} s a step, {self._best:.2g} s before"
            self._decide(step, threads=max(1, threads // 2), why=why)
            return
        elif threads < self._most and seconds >= self._again:
            self._before = (threads, now)
            self._decide(step, threads=self._most, why="tried again: is the machine free by now?")
            return
        self._best = min(self._best, now)

    def _gained(self, step: int, threads: int, now: float, seconds: float) -> bool:
        """Are the threads that were tried better than those before? Else these are taken back."""
        assert self._before is not None
        others, before = self._before
        self._before = None
        gained, fewer = now * GAIN <= before, threads < others
        if fewer and gained:
            self._again = seconds + self._pause
        elif fewer:
            self._settled = True
        elif not gained:
            self._pause *= 2
            self._again = seconds + self._pause
        if not gained:
            self._decide(step, threads=others, why=f"{now:.2g} s a step, no less than before")
        return gained
