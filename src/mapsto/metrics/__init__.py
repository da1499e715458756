"""Metrics as two functions, so that any of them bootstraps over rows or groups.

`rows(predicted, target)` gives per-row statistics (n, k); `reduce(statistics)` turns the statistics of any
selection of rows into the value. `predicted` is what a head's `predict` gave, as numpy arrays; `target` what
the room's collate gave. Rows whose label is not known (-1 for classes, NaN for numbers) count in no metric.
Statistics of several folds may be concatenated. Here is what a metric is, and what several are made of;
those of classes, numbers and labels have a file each.

Where a metric is a function of sums over rows, or of ranks that one sorting finds, it may say so (`sums` and
`of_sums`, or `weighted`): then all resamples of a bootstrap are one product of matrices, or one pass, in
place of a reduction each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Arrays = Mapping[str, np.ndarray]
NAN = float("nan")


@dataclass(frozen=True)
class Metric:
    """A named number about predictions. `definition` is one sentence; `bounds` its worst and best value."""

    name: str
    definition: str
    rows: Callable[[Arrays, np.ndarray], np.ndarray]  # -> (n, k) float64
    reduce: Callable[[np.ndarray], float]  # (n, k) -> value; nan when undefined
    higher_is_better: bool = True
    sums: Callable[[np.ndarray, np.ndarray, int], np.ndarray] | None = (
        None  # (n, k), units (n,) 0 … U-1, U -> (U, j)
    )
    of_sums: Callable[[np.ndarray], np.ndarray] | None = (
        None  # (R, j), sums over R selections of rows -> their values (R,)
    )
    weighted: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = (
        None  # (n, k), how often each row counts (R, n) float32 -> (R,)
    )
    says: Callable[[np.ndarray], str] | None = (
        None  # target -> the definition, where it depends on the targets
    )

    def better(self, a: float, b: float) -> bool:
        """Is `a` better than `b`? nan is worse than everything."""
        if np.isnan(a) or np.isnan(b):
            return not np.isnan(a)
        return a > b if self.higher_is_better else a < b


def mean_of(statistics: np.ndarray) -> float:
    """The reduce of every metric that is a plain mean over rows. (n, k) -> mean of the first column; NaN rows
    do not count."""
    column = statistics[:, 0] if len(statistics) else np.empty(0)
    known = column[~np.isnan(column)]
    return float(known.mean()) if len(known) else NAN


def ratio_of(statistics: np.ndarray) -> float:
    """(n, 2) -> the first column's sum over the second's: a mean over labels where rows hold unequally
    many."""
    count = statistics[:, 1].sum()
    return float(statistics[:, 0].sum() / count) if count else NAN


def area(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve: the share of (positive, negative) pairs ranked rightly, ties half. truth (n,)
    bool, score (n,)."""
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative or np.isnan(score).any():
        return NAN
    order = np.argsort(score)
    ranked, truth = score[order], truth[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])  # of runs of equal scores
    up = np.add.reduceat(truth.astype(np.int64), starts)  # positives in each run
    down = np.diff(np.r_[starts, len(truth)]) - up
    return float((up * (np.cumsum(down) - down / 2)).sum() / (positive * negative))


def summed(columns: np.ndarray, units: np.ndarray, count: int) -> np.ndarray:
    """(n, j) -> (U, j): sums over the rows of each unit."""
    return np.stack([np.bincount(units, column, minlength=count) for column in columns.T], 1)


def areas(truth: np.ndarray, score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`area` (R,) of rows that count `weight` (R, n) times; truth (n,) bool, score (n,) finite."""
    order = np.argsort(score)
    truth, ranked, weight = truth[order], score[order], weight[:, order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    up, down = weight * truth, weight * ~truth
    if len(starts) < len(ranked):
        up, down = (np.add.reduceat(part, starts, axis=1) for part in (up, down))
    below = np.cumsum(down, 1)  # whole numbers, exact in float32
    pairs = up.sum(1, dtype=np.float64) * down.sum(1, dtype=np.float64)
    won = np.einsum("rn,rn->r", up, below - down / 2, dtype=np.float64)
    return np.divide(won, pairs, out=np.full(len(pairs), NAN), where=pairs > 0)


def mean_areas(found: list[np.ndarray]) -> np.ndarray:
    """[(R,) of each class] -> (R,): the mean of those that are defined."""
    values = np.stack(found)
    defined = ~np.isnan(values)
    count = defined.sum(0)
    return np.divide(
        np.where(defined, values, 0).sum(0), count, out=np.full(values.shape[1], NAN), where=count > 0
    )


def pooled_f1(
    what: str, alike: str, rows: Callable[[Arrays, np.ndarray], np.ndarray]
) -> tuple[Metric, Metric, Metric]:
    """F1, precision and recall over all rows together. rows gives (n, 3): found rightly, answered, there."""

    def share(above: int, below: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
        def of_sums(sums: np.ndarray) -> np.ndarray:
            count = sums[:, below].sum(1)
            return np.divide(len(below) * sums[:, above], count, out=np.zeros(len(sums)), where=count > 0)

        return of_sums

    def metric(name: str, definition: str, below: tuple[int, ...]) -> Metric:
        of_sums = share(0, below)
        return Metric(
            name,
            definition,
            rows,
            lambda s: float(of_sums(s.sum(0)[None])[0]) if len(s) else NAN,
            sums=summed,
            of_sums=of_sums,
        )

    return (
        metric(
            "f1",
            f"Harmonic mean of precision and recall: a {what} counts as found where one {alike} is answered.",
            (1, 2),
        ),
        metric("precision", f"Share of the {what}s answered that are there, {alike}.", (1,)),
        metric("recall", f"Share of the {what}s there that are answered, {alike}.", (2,)),
    )


def mean_ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """(R, K) over (R, K) -> (R,): the mean over the columns whose denominator is not 0."""
    share = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    count = (below > 0).sum(1)
    return np.divide(share.sum(1), count, out=np.full(len(above), NAN), where=count > 0)


def mean_defined(values: list[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else NAN
