"""How an error falls with the number of training rows: a cheap learner on parts of them, and a power law
through what it reaches.

The learner is ridge regression on plain features and random Fourier features of them (Rahimi & Recht 2007),
its penalty chosen by generalised cross-validation (Golub, Heath & Wahba 1979): near a kernel machine, solved
in closed form. The law is error = a + b · rows^-c with a, b, c >= 0 (Hestness et al. 2017; Cortes et al.
1993), fitted in relative error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mapsto.batch import key

FIRST = 4  # the smallest part is 1 / 2**FIRST of the rows
FOLDS = 4
FEWEST = 16  # rows of a part
MOVES = (0.01, 0.5)  # by which a level moves in relative terms, at least and at most
NEAR = 1.0  # a part counts by so high a power of its rows
LINEAR, MOST_FEATURES, FEWEST_FEATURES = 128, 256, 96
MORE_DIRECTIONS, POWERS = 10, 2  # beyond those wanted, and rounds of iteration
HASHED = 4096  # features of which directions are found
SMOOTHER = (
    1.4  # degrees of freedom count this much: on few rows plain cross-validation interpolates (Kim & Gu 2004)
)
PENALTIES = 10.0 ** np.arange(-6, 2.5, 0.5)  # per row
EXPONENTS = np.arange(0.05, 1.51, 0.05)
RESAMPLES = 300
BLOCKS = 1_000  # of test rows that are drawn together, where there are more


@dataclass(frozen=True)
class Law:
    """error = a + b · rows^-c, and the same of resamples, each (R,)."""

    a: float
    b: float
    c: float
    resampled: tuple[np.ndarray, np.ndarray, np.ndarray]

    def at(self, rows: float) -> tuple[float, float, float]:
        """(error, low, high) at so many rows; 95% of resamples of parts and test rows."""
        a, b, c = self.resampled
        low, high = np.quantile(a + b * rows**-c, (0.025, 0.975))
        value = self.a + self.b * rows**-self.c
        return value, min(float(low), value), max(float(high), value)

    def gain(self, rows: float, more: float) -> tuple[float, float, float]:
        """(share by which the error falls from `rows` to `more`, low, high)."""
        a, b, c = self.resampled
        before = a + b * rows**-c
        fall = np.divide(before - (a + b * more**-c), before, out=np.zeros_like(before), where=before > 0)
        value = self.at(rows)[0]
        share = (value - self.at(more)[0]) / value if value > 0 else 0.0
        low, high = np.quantile(fall, (0.025, 0.975))
        return share, min(float(low), share), max(float(high), share)


@dataclass(frozen=True)
class Fit:
    """One stand-in to be learned: from which rows, and which rows it is asked of (positions); level: 0 for
    the smallest parts."""

    level: int
    learn: np.ndarray
    ask: np.ndarray


def fits(rows: int, groups: np.ndarray | None, seed: int) -> list[Fit]:
    """Every row is asked of the stand-ins of its fold, which learn from parts of the other folds' rows,
    smallest first: 1/16, 1/8, 1/4, 1/2 and all of them; the two smallest sizes twice, from rows that do not
    overlap. Rows of one group stay in one fold.
    """
    draw = np.random.default_rng(key(seed, "folds", rows))
    units = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    fold = (draw.permutation(int(units.max()) + 1) % FOLDS)[units]
    found = []
    for k in range(FOLDS):
        ask, others = np.flatnonzero(fold == k), draw.permutation(np.flatnonzero(fold != k))
        if not len(ask) or not len(others):
            continue
        powers = [power for power in range(FIRST, -1, -1) if len(others) >> power >= FEWEST or power == 0]
        for level, power in enumerate(powers):
            size = len(others) >> power
            found += [
                Fit(level, np.sort(others[i * size : (i + 1) * size]), ask)
                for i in range(2 if power >= FIRST - 1 else 1)
            ]
    return found


def features(values: Any, most: int, seed: int) -> np.ndarray:
    """Plain features (n, F) -> at most `most` for the ridge: standardised (sparse ones as they are) and,
    where many, their principal directions; beside them random Fourier features with half the median distance
    as bandwidth. No label is looked at.
    """
    from scipy.sparse import csr_array, issparse

    draw = np.random.default_rng(key(seed, "features", values.shape[1]))
    values = csr_array(values) if issparse(values) else _standardised(values)
    linear = min(LINEAR, max(1, most // 2))
    if values.shape[1] > linear:
        with threadpool_limits(1):
            values = _directions(values, min(linear, values.shape[0]), draw)
    values = values.toarray() if issparse(values) else values
    values = values / np.float32(max(float(np.square(values).sum(1).mean()), 1e-12) ** 0.5)
    few = values[draw.permutation(len(values))[:300]]
    distance = np.sqrt(np.stack([np.square(few - one).sum(1) for one in few]))
    width = 0.5 * float(np.median(distance[distance > 0])) if (distance > 0).any() else 1.0
    waves = draw.normal(size=(values.shape[1], max(1, most - values.shape[1]))).astype(
        np.float32
    ) / np.float32(width)
    shift = draw.uniform(0, 2 * np.pi, waves.shape[1]).astype(np.float32)
    return np.concatenate(
        [values, np.cos(values @ waves + shift) * np.float32((2 / waves.shape[1]) ** 0.5)], 1
    )


def _standardised(values: np.ndarray) -> np.ndarray:
    values = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    centre, spread = values.mean(0), values.std(0)
    scale = np.divide(
        1, spread, out=np.zeros_like(spread), where=spread > 1e-6 * max(float(spread.max(initial=0)), 1e-30)
    )
    return np.clip((values - centre) * scale, -10, 10)


def _directions(values: Any, count: int, draw: np.random.Generator) -> np.ndarray:
    """Along the `count` strongest directions (Halko, Martinsson & Tropp 2011); above HASHED features those of
    hashed ones."""
    from scipy.sparse import csr_array

    if values.shape[1] > HASHED:
        bucket, sign = (
            draw.integers(HASHED, size=values.shape[1]),
            draw.choice(np.array([-1, 1], np.float32), values.shape[1]),
        )
        values = values @ csr_array(
            (sign, (np.arange(values.shape[1]), bucket)), shape=(values.shape[1], HASHED)
        )
    basis = draw.normal(size=(values.shape[1], min(count + MORE_DIRECTIONS, *values.shape))).astype(
        np.float32
    )
    for _ in range(POWERS):  # all in the space of features: rows, which are more, are never made orthogonal
        basis = np.linalg.qr(values.T @ (values @ basis))[0]
    on = np.asarray(values @ basis, np.float32)
    return on @ np.linalg.eigh(on.T @ on)[1][:, ::-1][:, :count]


def how_many(rows: int, work: float) -> int:
    """Features for which solving all the fits of `rows` rows takes about `work` multiplications."""
    return int(np.clip((work / (6.5 * max(1, rows))) ** 0.5, FEWEST_FEATURES, MOST_FEATURES))


def ridge(values: np.ndarray, wanted: np.ndarray, ask: np.ndarray) -> np.ndarray:
    """Values (n, F) and wanted (n, K) -> what is predicted for `ask` (m, F): (m, K) float64. Whichever of
    rows and features are fewer is diagonalised, so that all penalties cost one decomposition."""
    centre, mean = values.mean(0), wanted.mean(0)
    moved = ((values, centre), (wanted, mean), (ask, centre))
    values, wanted, ask = (np.subtract(one, middle, dtype=np.float64) for one, middle in moved)
    n = len(values)
    rows_fewer = n < values.shape[1]
    e, v = np.linalg.eigh(values @ values.T if rows_fewer else values.T @ values)
    e = np.maximum(e, 0)
    z = v.T @ wanted if rows_fewer else v.T @ (values.T @ wanted)  # (min(n, F), K)

    def score(penalty: float) -> float:
        shrunk = e / (e + n * penalty)
        free = 1 - SMOOTHER * (float(shrunk.sum()) + 1) / n
        if free <= 0.1 and penalty < PENALTIES[-1]:
            return np.inf
        if rows_fewer:
            left = np.square((1 - shrunk)[:, None] * z).sum()
        else:
            left = (
                np.square(wanted).sum() - (np.square(z) * ((2 - shrunk) / (e + n * penalty))[:, None]).sum()
            )
        return float(max(left, 0)) / n / max(free, 1e-6) ** 2

    penalty = n * min(PENALTIES, key=score)
    weights = v @ (z / (e + penalty)[:, None])
    return (ask @ values.T @ weights if rows_fewer else ask @ weights) + mean


def answers(values: np.ndarray, wanted: np.ndarray, every: Sequence[Fit]) -> list[np.ndarray]:
    """What the stand-in of each fit says of the rows it is asked of: (rows, K) each."""
    with threadpool_limits(1):
        return [ridge(values[fit.learn], wanted[fit.learn], values[fit.ask]) for fit in every]


def law(sizes: np.ndarray, rowwise: np.ndarray, seed: int) -> Law:
    """The power law through the mean errors of each level. sizes (S,) rows learned from, ascending; rowwise
    (S, m) the error of each row by the stand-ins of each level that had not learned it. Resamples draw rows
    anew, and move each level by as much as the law misses the levels: which rows a part happened to hold, and
    that no curve is a power law all the way."""
    draw = np.random.default_rng(key(seed, "law", len(sizes)))
    m = rowwise.shape[1]
    units = min(m, BLOCKS)
    order = draw.permutation(m)
    sums = np.stack([np.bincount(np.arange(m) % units, errors[order]) for errors in rowwise])  # (S, U)
    size = np.bincount(np.arange(m) % units).astype(np.float64)  # (U,)
    weights = draw.multinomial(units, np.full(units, 1 / units), RESAMPLES)  # (R, U)
    shares = (weights @ sums.T) / (weights @ size)[:, None]  # (R, S)
    floor = (
        0.5 / m * max(float(rowwise.max(initial=0)), 1e-12)
    )  # an error of nothing is half a row's at the most
    means = np.maximum(rowwise.mean(1), floor)
    a, b, c = (float(part[0]) for part in _fit(sizes, means[:, None]))
    missed = np.log(means / np.maximum(a + b * sizes**-c, floor))
    spread = float(np.sqrt(np.square(missed).sum() / max(1, len(sizes) - 3)))
    drawn = np.maximum(shares.T, floor) * np.exp(
        np.clip(spread, *MOVES) * draw.normal(size=(len(sizes), RESAMPLES))
    )
    return Law(a, b, c, _fit(sizes, drawn))


def _fit(sizes: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a, b, c (R,) of each column of means (S, R): for every exponent the best a, b >= 0 by weighted least
    squares, then the best exponent. Relative errors count alike, larger parts more: it is beyond them that
    the law is asked."""
    weight = sizes[:, None] ** NEAR / np.square(means)  # (S, R)
    best = np.full(means.shape[1], np.inf)
    found = np.zeros((3, means.shape[1]))
    for c in EXPONENTS:
        x = sizes[:, None] ** -c
        w, wx, wy = weight.sum(0), (weight * x).sum(0), (weight * means).sum(0)
        wxx, wxy = (weight * x * x).sum(0), (weight * x * means).sum(0)
        under = np.maximum(w * wxx - wx**2, 1e-12 * w * wxx)
        a, b = (wxx * wy - wx * wxy) / under, (w * wxy - wx * wy) / under
        a, b = np.where(b < 0, wy / w, a), np.maximum(b, 0)
        b, a = np.where(a < 0, wxy / wxx, b), np.maximum(a, 0)
        loss = (weight * np.square(means - a - b * x)).sum(0)
        better = loss < best * (1 - 1e-9)
        best, found = (
            np.where(better, loss, best),
            np.where(better, np.stack([a, b, np.full_like(a, c)]), found),
        )
    return found[0], found[1], found[2]
