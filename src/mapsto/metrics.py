"""Metrics as two functions, so that any of them bootstraps over rows or groups.

`rows(predicted, target)` gives per-row statistics (n, k); `reduce(statistics)` turns the statistics of any selection of rows
into the value. `predicted` is what a head's `predict` gave, as numpy arrays; `target` what the room's collate gave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Metric:
    """A named number about predictions. `definition` is one sentence; `bounds` its worst and best value."""

    name: str
    definition: str
    rows: Callable[[Arrays, np.ndarray], np.ndarray]      # -> (n, k) float64
    reduce: Callable[[np.ndarray], float]                 # (n, k) -> value; nan when undefined
    higher_is_better: bool = True

    def better(self, a: float, b: float) -> bool:
        """Is `a` better than `b`? nan is worse than everything."""
        if np.isnan(a) or np.isnan(b):
            return not np.isnan(a)
        return a > b if self.higher_is_better else a < b


def mean_of(statistics: np.ndarray) -> float:
    """The reduce of every metric that is a plain mean over rows. (n, k) -> mean of the first column."""
    return float(statistics[:, 0].mean()) if len(statistics) else float("nan")
