"""How long to learn and how fast: progress through the budget and the learning rate on it, as functions of
decisions alone."""

from __future__ import annotations

import math
import re
import time

from mapsto.config import Budget, Training
from mapsto.errors import ConfigError


class Schedule:
    """Progress p(step) in [0, 1]: from each decided anchor a straight line to 1 at the decided last step."""

    def __init__(self) -> None:
        self.anchor, self.at, self.total, self.rate = 0, 0.0, 1 << 62, 1.0

    def set_total(self, step: int, total: int) -> None:
        """From `step` on, end at `total`."""
        self.anchor, self.at, self.total = step, self.progress(step), max(total, step)

    def progress(self, step: int) -> float:
        if step >= self.total:
            return 1.0
        return self.at + (1 - self.at) * (step - self.anchor) / (self.total - self.anchor)

    def factor(self, step: int, training: Training) -> float:
        """The share of the peak rate for the update that follows `step` updates."""
        return self.rate * shape(self.progress(step), training.schedule or "linear", training.warmup or 0.0)


class Clock:
    """The budget's seconds: those spent, and what the steps taken so far say of the rest. Time between a kill
    and a resume does not count."""

    def __init__(self, minutes: float | None, elapsed: float):
        self.minutes = minutes
        self.set(elapsed)
        self.begin(0)

    def set(self, elapsed: float) -> None:
        """So many seconds are spent."""
        self._elapsed, self._started = elapsed, time.monotonic()

    def begin(self, step: int) -> None:
        """From this step on throughput is measured."""
        self._from, self._at = step, self.elapsed

    @property
    def elapsed(self) -> float:
        return self._elapsed + time.monotonic() - self._started

    @property
    def left(self) -> float:
        """Seconds; infinite where minutes do not decide."""
        return math.inf if self.minutes is None else max(0.0, 60 * self.minutes - self.elapsed)

    def last(self, step: int) -> int | None:
        """The step at which time will be up, by the throughput measured, evaluations included; None where
        minutes do not decide, and too early."""
        steps, took = step - self._from, self.elapsed - self._at
        if self.minutes is None or steps < 3 or took < 1.0:
            return None
        return step + max(0, int(self.left * steps / took))


def shape(progress: float, schedule: str, warmup: float) -> float:
    """Warm-up to 1, then linear or cosine to 0, constant, or flat (1 until half, then linear to 0)."""
    if progress < warmup:
        return max(progress / warmup, 0.01)
    rest = (progress - warmup) / max(1e-9, 1 - warmup)
    if schedule == "linear":
        return max(0.0, 1 - rest)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * rest))
    if schedule == "flat":
        return min(1.0, 2 * (1 - rest))
    return 1.0


def fixed_total(budget: Budget, rows: int, batch: int) -> int | None:
    """The last step that steps or epochs ask for; None when the clock alone decides."""
    if budget.steps is not None:
        return budget.steps
    if budget.epochs is not None:
        return max(1, math.ceil(budget.epochs * rows / batch))
    return None


def goal_of(text: str | None) -> tuple[str, float] | None:
    """'accuracy=0.94' -> ("accuracy", 0.94)."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*([^=]+?)\s*=\s*(-?[\d.]+(?:e-?\d+)?)\s*", text)
    if not found:
        raise ConfigError(f"--until: expected METRIC=VALUE as in accuracy=0.94, got '{text}'.")
    return found[1], float(found[2])
