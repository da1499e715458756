"""ADWIN (Bifet and Gavaldà 2007, "Learning from time-changing data with adaptive windowing"): has the mean of
values between 0 and 1 changed? A window of the latest values grows until two parts of it differ by more than
chance allows; the older part is then dropped. No length need be chosen, and memory is logarithmic in it: sums
of 1, 2, 4, … values, at most five of each."""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST = 5  # sums of one size
EVERY = 32  # values between two tests
LEAST = 5  # values in a part


@dataclass(frozen=True)
class Change:
    """Means before and after it; n: values since."""

    before: float
    after: float
    n: int


class Adwin:
    """delta: of a change that is none, in the paper's bound."""

    def __init__(self, delta: float = 0.002):
        self.delta = delta
        self.rows: list[list[float]] = [[]]  # rows[i]: sums of 2**i values, oldest first
        self.n, self.total, self.seen = 0, 0.0, 0

    @property
    def mean(self) -> float:
        """Of the window."""
        return self.total / self.n if self.n else math.nan

    def add(self, value: float) -> Change | None:
        """One more value, 0 to 1; the change that shows with it."""
        self.rows[0].append(value)
        self.n, self.total, self.seen = self.n + 1, self.total + value, self.seen + 1
        for i, row in enumerate(self.rows):
            if len(row) <= MOST:
                break
            if i + 1 == len(self.rows):
                self.rows.append([])
            self.rows[i + 1].append(row.pop(0) + row.pop(0))
        return self._cut() if self.seen % EVERY == 0 else None

    def _cut(self) -> Change | None:
        """Drop what differs, oldest first."""
        before, changed = self.mean, False
        while self._differs():
            changed = True
            size = len(self.rows) - 1
            self.total -= self.rows[size].pop(0)
            self.n -= 1 << size
            while len(self.rows) > 1 and not self.rows[-1]:
                self.rows.pop()
        return Change(before, self.mean, self.n) if changed else None

    def _differs(self) -> bool:
        """Do an older and a newer part differ, wherever they are parted? The variance of values in [0, 1] is
        at most that of coins of their mean, which is put for it."""
        old, old_n, mean = 0.0, 0, self.mean
        variance, ln = mean * (1 - mean), math.log(2 * math.log(max(self.n, 3)) / self.delta)
        for i in range(len(self.rows) - 1, -1, -1):
            for one in self.rows[i]:
                old, old_n = old + one, old_n + (1 << i)
                new_n = self.n - old_n
                if old_n < LEAST or new_n < LEAST:
                    continue
                m = 1 / old_n + 1 / new_n
                bound = math.sqrt(2 * m * variance * ln) + 2 / 3 * m * ln
                if abs(old / old_n - (self.total - old) / new_n) > bound:
                    return True
        return False
