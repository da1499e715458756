"""Does one column determine another, exactly? Tests of functional dependency that a merely very good
predictor does not pass.

What separates "determines" from "predicts well" is exactness where it could have failed: equal values that
always stand beside the same answer, a sum that leaves no remainder, an order without one inversion. So every
test counts its chances to fail. A violation in a few rows is a violation in all, and most columns are refused
after looking at FIRST of them.

Codes are int64 (n,), -1 where nothing is known; numbers are float64 (n,), nan where missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FIRST = 1000  # rows on which most columns are refused
LEAST = 50  # rows that could have failed and did not, below which exactness says little
SHARE = 0.2  # and their share of all rows: a column whose values hardly repeat says nothing
NATS = 40.0  # minus log of the probability under chance
MINOR = 10  # rows outside the most frequent answer that could have failed
LEVELS = 20  # different values from which an order without inversion is no accident
EXACT = 1e-6  # of a column's spread: what counts as no remainder
MOST_ROWS, MOST_COLUMNS = 4000, 200  # of a system of equations
ROUNDED = 1e-3  # of a target's spread: the most that may be put down to rounding


def codes_of(values: np.ndarray) -> np.ndarray:
    """Numbers or codes as dense codes from 0, in order; -1 where not known."""
    known = ~np.isnan(values) if values.dtype.kind == "f" else values >= 0
    codes = np.full(len(values), -1, np.int64)
    codes[known] = np.unique(values[known], return_inverse=True)[1]
    return codes


@dataclass(frozen=True)
class Exact:
    """A dependency without exception. rows: known rows; chances: those that could have failed; values:
    different values."""

    rows: int
    chances: int
    values: int


def determines(codes: np.ndarray, target: np.ndarray) -> Exact | None:
    """Do equal codes always stand beside equal targets, and often enough to be no accident? Dense codes, -1
    not known."""
    known = (codes >= 0) & (target >= 0)
    if not _functional(codes[known][:FIRST], target[known][:FIRST]):
        return None
    codes, target = codes[known], target[known]
    if len(codes) < LEAST or not _functional(codes, target):
        return None
    _, first, counts = np.unique(codes, return_index=True, return_counts=True)
    answers = target[first]
    share = np.bincount(target) / len(target)
    share = share[share > 0]
    chances = len(codes) - len(counts)
    minor = int((counts - 1)[answers != np.bincount(target).argmax()].sum())
    if chances < max(LEAST, SHARE * len(codes)) or minor < MINOR or _nats(counts, share) < NATS:
        return None
    return Exact(len(codes), chances, len(counts))


def _functional(codes: np.ndarray, target: np.ndarray) -> bool:
    if not len(codes):
        return False
    pairs = np.unique(codes * (int(target.max()) + 1) + target)
    return len(pairs) == len(np.unique(codes))


def _nats(counts: np.ndarray, share: np.ndarray) -> float:
    """-log P(every group of `counts` rows agrees), were answers drawn with probabilities `share`."""
    sizes, times = np.unique(counts[counts > 1], return_counts=True)
    top = share.max()
    logs = [size * np.log(top) + np.log(((share / top) ** size).sum()) for size in sizes]
    return float(-(times * np.array(logs)).sum()) if len(sizes) else 0.0


def errors(codes: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """(share of rows wrong when each code says its most frequent target, share wrong when all say the most
    frequent one)."""
    known = (codes >= 0) & (target >= 0)
    codes, target = codes[known], target[known]
    if not len(codes):
        return 1.0, 1.0
    table = np.zeros((codes.max() + 1, target.max() + 1), np.int64)
    np.add.at(table, (codes, target), 1)
    return 1 - table.max(1).sum() / len(codes), 1 - table.sum(0).max() / len(codes)


def same_order(x: np.ndarray, y: np.ndarray) -> bool:
    """Is y a monotone function of x, or x of y, in either direction: not one pair of rows out of order,
    LEVELS values or more in both?"""
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if len(x) < LEAST or not (_ordered(x[:FIRST], y[:FIRST]) or _ordered(-x[:FIRST], y[:FIRST])):
        return False
    if not (_ordered(x, y) or _ordered(-x, y)):
        return False
    return min(len(np.unique(x)), len(np.unique(y))) >= LEVELS


def _ordered(x: np.ndarray, y: np.ndarray) -> bool:
    """Is no y of a smaller x above a y of a larger x?"""
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    starts = np.flatnonzero(np.r_[True, x[1:] != x[:-1]])
    highest = np.maximum.accumulate(np.maximum.reduceat(y, starts))
    return bool((np.minimum.reduceat(y, starts)[1:] >= highest[:-1]).all())


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's, over rows where both are known; 0 where one is constant."""
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if len(x) < LEAST or not (x.std() > 0 and y.std() > 0):
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def threshold(x: np.ndarray, target: np.ndarray) -> bool:
    """Do cuts along x divide the classes exactly, where values lie densely on both sides of each cut? Classes
    that merely lie far apart (iris setosa) have a gap there. target: dense codes."""
    known = ~np.isnan(x) & (target >= 0)
    x, target = x[known], target[known]
    if (
        len(x) < 4 * LEAST
        or len(np.unique(target)) < 2
        or np.bincount(target).min() < MINOR
        or not _functional(codes_of(x), target)
    ):
        return False
    values, first = np.unique(x, return_index=True)
    classes = target[first]
    cuts = np.flatnonzero(classes[1:] != classes[:-1])
    if len(values) < 5 or len(cuts) > 2 * target.max():
        return False
    gaps = np.diff(values)
    spaces = [gaps[max(0, cut - 25) : cut + 26] for cut in cuts]
    return all(gaps[cut] <= 3 * np.quantile(space, 0.9) for cut, space in zip(cuts, spaces, strict=True))


@dataclass(frozen=True)
class Identity:
    """target = constant + Σ weight · column (or the product of powers). unweighted: all weights are ± the
    same."""

    columns: tuple[int, ...]
    weights: tuple[float, ...]
    rows: int

    @property
    def unweighted(self) -> bool:
        sizes = np.abs(self.weights)
        return bool(np.ptp(sizes) <= 1e-4 * sizes.max())


def linear_identity(
    columns: Sequence[np.ndarray], y: np.ndarray, step: float | None = None
) -> Identity | None:
    """Is y a sum of columns, without remainder on rows that were not used to find the weights? Columns that
    are not needed are left out. step: how far rounding may carry y off, as a share of its spread; found from
    its decimals when None.
    """
    chosen = [
        i for i, column in enumerate(columns) if np.isnan(column).mean() < 0.5 and np.nanstd(column) > 0
    ]
    if len(chosen) > MOST_COLUMNS:
        strength = [abs(correlation(columns[i], y)) for i in chosen]
        chosen = sorted(np.array(chosen)[np.argsort(strength)[-MOST_COLUMNS:]].tolist())
    if len(chosen) < 2:
        return None
    values = np.stack([columns[i] for i in chosen], 1)
    complete = np.flatnonzero(~np.isnan(values).any(1) & ~np.isnan(y))[:MOST_ROWS]
    values, y = values[complete], y[complete]
    fit = len(y) // 2
    if fit < len(chosen) + LEAST or not y.std() > 0 or len(np.unique(y)) < 2:
        return None
    values = values - values.mean(0)
    step = _rounding(y) if step is None else step
    kept = list(range(len(chosen)))
    if _weights(values, y, kept, fit, step) is None:
        return None
    kept = _needed(values, y, kept, fit, step)
    weights = _weights(values, y, kept, fit, step)
    if weights is None or len(kept) < 2:
        return None
    return Identity(tuple(chosen[i] for i in kept), tuple(weights.tolist()), len(y))


def _needed(values: np.ndarray, y: np.ndarray, kept: list[int], fit: int, step: float) -> list[int]:
    """Without the columns that y does not need: first those that add nothing, in one go, then one at a time,
    least first."""
    weights = _weights(values, y, kept, fit, step)
    assert weights is not None
    adds = np.abs(weights) * values[:, kept].std(0)
    large = [i for i, size in zip(kept, adds, strict=True) if size > 1e-5 * y.std()]
    kept = large if _weights(values, y, large, fit, step) is not None else kept
    for i in sorted(
        kept, key=lambda i: float(np.abs(np.corrcoef(values[:, i], y)[0, 1]) if values[:, i].std() > 0 else 0)
    ):
        fewer = [j for j in kept if j != i]
        if fewer and _weights(values, y, fewer, fit, step) is not None:
            kept = fewer
    return kept


def _weights(values: np.ndarray, y: np.ndarray, kept: list[int], fit: int, step: float) -> np.ndarray | None:
    """The weights of `kept` columns found on the first `fit` rows, or None where they leave a remainder on
    the others."""
    if not kept:
        return None
    part = values[:, kept]
    scale = np.maximum(part.std(0), 1e-300)
    design = np.column_stack([part / scale, np.ones(len(y))])
    centre, spread = y.mean(), y.std()
    found = np.linalg.lstsq(design[:fit], (y[:fit] - centre) / spread, rcond=1e-10)[0]
    rest = np.abs(design[fit:] @ found - (y[fit:] - centre) / spread)
    weights = found[:-1] / scale * spread
    return weights if rest.max() <= max(EXACT, step) else None


def _rounding(y: np.ndarray) -> float:
    """How far rounding to its decimals may carry a sum off, as a share of the target's spread; at most
    ROUNDED of it."""
    grid = _grid(y)
    return min(ROUNDED, 1.01 * grid / y.std()) if grid < 1 else 0.0


def _grid(y: np.ndarray) -> float:
    """1 for whole numbers, .01 for hundredths, …; 0 for numbers of more than six decimals."""
    places = range(7)
    return next(
        (
            10.0**-d
            for d in places
            if np.allclose(y, np.round(y, d), rtol=0, atol=1e-9 * max(1.0, np.abs(y).max()))
        ),
        0.0,
    )


def product_identity(columns: Sequence[np.ndarray], y: np.ndarray) -> Identity | None:
    """Is y a product or quotient of columns (weights are whole powers), over the rows where all of them are
    positive?"""
    positive = [i for i, column in enumerate(columns) if (column > 0).mean() > 0.9]
    above = y > 0
    if len(positive) < 2 or not above.mean() > 0.9:
        return None
    logs = [np.log(np.where(columns[i] > 0, columns[i], np.nan)) for i in positive]
    answer = np.log(np.where(above, y, np.nan))
    spread = np.nanstd(answer)
    grid = _grid(y[above])
    step = min(ROUNDED, 1.01 * grid / y[above].min() / spread) if spread > 0 and grid < 1 else 0.0
    found = linear_identity(logs, answer, step)
    if found is None or np.abs(np.array(found.weights) - np.rint(found.weights)).max() > 1e-2:
        return None
    return Identity(
        tuple(positive[i] for i in found.columns), tuple(np.rint(found.weights).tolist()), found.rows
    )
