"""Is one answer better than another on the same rows, or is it chance?

Both answer the same rows, so easy and hard rows fall out of the comparison: a pair of nets whose own
intervals overlap widely may still differ for sure. The interval of the difference is a bootstrap over rows
(or whole groups) that keeps both answers of a row together. The p-value is how often chance alone would make
a difference as large: McNemar's exact test (1947) where a row is right or wrong, otherwise a permutation test
that exchanges the two answers of rows (or groups) at random (Pitman 1937; Ojala & Garriga 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mapsto.batch import key
from mapsto.measure.scores import interval
from mapsto.metrics import Metric, mean_of

LEVEL = 0.05  # a difference with a smaller p-value is called sure
FLIPS, FLIP_WORK = (
    10_000,
    100_000_000,
)  # exchanges tried for a mean, and rows they read in all: about half a second
SWAPS, FEWEST, SWAP_WORK = 1_000, 200, 20_000_000  # and for any other metric; numbers
AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Difference:
    """Of a's value from b's, in the metric's unit. value: a - b; low, high: its 95% interval, None where it
    cannot be known; p: how often chance makes one as large; test: how p was found; n: rows that count."""

    value: float
    low: float | None
    high: float | None
    p: float
    test: str
    n: int


def difference(
    metric: Metric, a: np.ndarray, b: np.ndarray, groups: np.ndarray | None = None, seed: int = 0
) -> Difference | None:
    """a, b (n, k): the metric's statistics of both answers, row by row; groups (n,). None where the metric is
    undefined on these rows."""
    counted = ~(np.isnan(a).any(1) | np.isnan(b).any(1))
    a, b, groups = a[counted], b[counted], None if groups is None else groups[counted]
    value = metric.reduce(a) - metric.reduce(b) if len(a) else np.nan
    if not np.isfinite(value):
        return None
    low, high = _interval(metric, a, b, groups, seed)
    if metric.reduce is mean_of:
        a, b = a[:, :1], b[:, :1]
    if groups is None and metric.reduce is mean_of and np.isin([a, b], (0, 1)).all():
        p, test = _mcnemar(a[:, 0], b[:, 0]), "McNemar's exact test"
    else:
        units = np.arange(len(a)) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
        draw = np.random.default_rng(key(seed, "paired", metric.name, len(a)))
        p = (
            _by_flips(a[:, 0] - b[:, 0], units, draw)
            if metric.reduce is mean_of
            else _by_swaps(metric, a, b, units, draw)
        )
        test = "permutation test" + (" over groups" if groups is not None else "")
    return Difference(float(value), low, high, p, test, len(a))


def holm(found: Sequence[float]) -> list[float]:
    """p-values of several tests, so that all of those below a level hold together (Holm 1979)."""
    order = np.argsort(found, kind="stable")
    stepped = np.maximum.accumulate(np.array(found)[order] * (len(found) - np.arange(len(found))))
    adjusted = np.empty(len(found))
    adjusted[order] = np.minimum(1, stepped)
    return [float(p) for p in adjusted]


def _interval(
    metric: Metric, a: np.ndarray, b: np.ndarray, groups: np.ndarray | None, seed: int
) -> tuple[float | None, float | None]:
    """The bootstrap of a metric, on rows that hold both answers side by side."""
    k = a.shape[1]
    if metric.reduce is mean_of:
        both, together = a[:, :1] - b[:, :1], mean_of
    else:
        both, together = (
            np.concatenate([a, b], 1),
            lambda rows: metric.reduce(rows[:, :k]) - metric.reduce(rows[:, k:]),
        )
    ends = interval(
        both,
        Metric(f"difference of {metric.name}", "", metric.rows, together, higher_is_better=False),
        groups,
        seed,
    )
    low, high = (float(end) if np.isfinite(end) else None for end in ends)
    return low, high


def _mcnemar(a: np.ndarray, b: np.ndarray) -> float:
    """Of rows on which only one is right, are as many the one's as the other's?"""
    from scipy.special import bdtr

    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    return min(
        1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5))
    )  # both tails of a binomial of one half, which are alike


def _by_flips(gaps: np.ndarray, units: np.ndarray, draw: np.random.Generator) -> float:
    """Exchanging a row's two answers turns the sign of its gap."""
    sums = np.bincount(units, gaps)
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0
    flips = int(np.clip(FLIP_WORK // len(sums), FEWEST, FLIPS))
    seen, size = 0, max(1, AT_ONCE // len(sums))
    for done in range(0, flips, size):
        signs = draw.integers(0, 2, (min(size, flips - done), len(sums)), dtype=np.int8) * np.int8(
            2
        ) - np.int8(1)
        seen += int((np.abs(signs @ sums) >= abs(sums.sum()) * (1 - 1e-9)).sum())
    return (1 + seen) / (1 + flips)


def _by_swaps(
    metric: Metric, a: np.ndarray, b: np.ndarray, units: np.ndarray, draw: np.random.Generator
) -> float:
    if np.array_equal(a, b):
        return 1.0
    found, swaps = abs(metric.reduce(a) - metric.reduce(b)), int(np.clip(SWAP_WORK // a.size, FEWEST, SWAPS))
    seen = 0
    for _ in range(swaps):
        swapped = (draw.random(int(units.max()) + 1) < 0.5)[units][:, None]
        seen += abs(
            metric.reduce(np.where(swapped, b, a)) - metric.reduce(np.where(swapped, a, b))
        ) >= found * (1 - 1e-9)
    return (1 + seen) / (1 + swaps)
