"""How an error falls with the number of training rows: a cheap learner on parts of them, and a power law through what it reaches.

The learner is ridge regression on plain features and random Fourier features of them (Rahimi & Recht 2007), its penalty chosen by
generalised cross-validation (Golub, Heath & Wahba 1979): near a kernel machine, solved in closed form. The law is
error = a + b · rows^-c with a, b, c >= 0 (Hestness et al. 2017; Cortes et al. 1993), fitted in relative error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits

from mapsto.batch import key

FIRST = 4  # the smallest part is 1 / 2**FIRST of the rows
REPEATS = 6  # parts of one size, at most; they do not overlap
FEWEST = 16  # rows of a part
LINEAR, MOST_FEATURES, FEWEST_FEATURES = 256, 768, 96
HASHED = 4096  # features of which directions are found
SMOOTHER = 1.4  # degrees of freedom count this much: on few rows plain cross-validation interpolates (Kim & Gu 2004)
PENALTIES = 10.0 ** np.arange(-6, 2.5, 0.5)  # per row
EXPONENTS = np.arange(0.05, 1.51, 0.05)
RESAMPLES = 300


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


def parts(rows: int, seed: int) -> list[np.ndarray]:
    """Positions of the rows of every part, smallest first: 1/16, 1/8, 1/4, 1/2 and all; of each size up to REPEATS that do not overlap."""
    order = np.random.default_rng(key(seed, "parts", rows)).permutation(rows)
    found = []
    for power in range(FIRST, -1, -1):
        size = rows >> power
        if size >= FEWEST or power == 0:
            found += [np.sort(order[i * size : (i + 1) * size]) for i in range(min(REPEATS, 1 << power))]
    return found


def features(learn: Any, ask: Any, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Plain features (n, F) of training and test rows -> at most `most` for the ridge: standardised (sparse ones as they are) and, where
    many, their principal directions; beside them random Fourier features with half the median distance as bandwidth."""
    draw = np.random.default_rng(key(seed, "features", learn.shape[1]))
    learn, ask = (csr_array(values) for values in (learn, ask)) if issparse(learn) else _standardised(learn, ask)
    linear = min(LINEAR, max(1, most // 2))
    if learn.shape[1] > linear:
        learn, ask = _directions(learn, ask, min(linear, learn.shape[0]), draw)
    learn, ask = (values.toarray() if issparse(values) else values for values in (learn, ask))  # type: ignore[union-attr]
    length = np.float32(max(float(np.square(learn).sum(1).mean()), 1e-12) ** 0.5)
    learn, ask = learn / length, ask / length
    few = learn[draw.permutation(len(learn))[:300]]
    distance = np.sqrt(np.maximum(np.square(few[:, None] - few[None]).sum(2), 0))
    width = 0.5 * float(np.median(distance[distance > 0])) if (distance > 0).any() else 1.0
    waves = draw.normal(size=(learn.shape[1], max(1, most - learn.shape[1]))).astype(np.float32) / np.float32(width)
    shift = draw.uniform(0, 2 * np.pi, waves.shape[1]).astype(np.float32)
    scale = np.float32((2 / waves.shape[1]) ** 0.5)
    return tuple(np.concatenate([values, np.cos(values @ waves + shift) * scale], 1) for values in (learn, ask))  # type: ignore[return-value]


def _standardised(learn: np.ndarray, ask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    learn, ask = (np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0) for values in (learn, ask))
    centre, spread = learn.mean(0), learn.std(0)
    scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-6 * max(float(spread.max(initial=0)), 1e-30))
    return np.clip((learn - centre) * scale, -10, 10), np.clip((ask - centre) * scale, -10, 10)


def _directions(learn: Any, ask: Any, count: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Both along the `count` strongest directions of the training rows (Halko, Martinsson & Tropp 2011); above HASHED features those of
    hashed ones. No label is looked at, so all training rows may say where they point."""
    if learn.shape[1] > HASHED:
        bucket, sign = draw.integers(HASHED, size=learn.shape[1]), draw.choice(np.array([-1, 1], np.float32), learn.shape[1])
        hashing = csr_array((sign, (np.arange(learn.shape[1]), bucket)), shape=(learn.shape[1], HASHED))
        learn, ask = learn @ hashing, ask @ hashing
    _, _, directions = randomized_svd(learn, count, n_iter=2, random_state=int(draw.integers(1 << 31)))  # type: ignore[arg-type]
    return np.asarray(learn @ directions.T, np.float32), np.asarray(ask @ directions.T, np.float32)


def how_many(rows: int, work: float) -> int:
    """Features for which solving all parts of `rows` rows takes about `work` multiplications."""
    return int(np.clip((work / (4 * max(1, rows))) ** 0.5, FEWEST_FEATURES, MOST_FEATURES))


def ridge(values: np.ndarray, wanted: np.ndarray, ask: np.ndarray) -> np.ndarray:
    """Values (n, F) and wanted (n, K) -> what is predicted for `ask` (m, F): (m, K) float64. Whichever of rows and features are fewer is
    diagonalised, so that all penalties cost one decomposition."""
    centre, mean = values.mean(0), wanted.mean(0)
    values, wanted, ask = (values - centre).astype(np.float64), (wanted - mean).astype(np.float64), (ask - centre).astype(np.float64)
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
            left = np.square(wanted).sum() - (np.square(z) * ((2 - shrunk) / (e + n * penalty))[:, None]).sum()
        return float(max(left, 0)) / n / max(free, 1e-6) ** 2

    penalty = n * min(PENALTIES, key=score)
    weights = v @ (z / (e + penalty)[:, None])
    return (ask @ values.T @ weights if rows_fewer else ask @ weights) + mean


def errors(learn: np.ndarray, wanted: np.ndarray, ask: np.ndarray, every: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a ridge learned on each part predicts for the test rows, (m, K) each."""
    with threadpool_limits(1):
        return [ridge(learn[part], wanted[part], ask) for part in every]


def law(sizes: np.ndarray, rowwise: np.ndarray, seed: int) -> Law:
    """The power law through mean errors. sizes (P,) rows of each part; rowwise (P, m) the error of each test row of each part."""
    draw = np.random.default_rng(key(seed, "law", len(sizes)))
    m = rowwise.shape[1]
    weights = draw.multinomial(m, np.full(m, 1 / m), RESAMPLES) / m  # (R, m)
    drawn = rowwise @ weights.T  # (P, R)
    distinct = np.unique(sizes)
    picked = np.empty((len(distinct), RESAMPLES))
    for i, size in enumerate(distinct):
        those = np.flatnonzero(sizes == size)
        picked[i] = drawn[those[draw.integers(len(those), size=(len(those), RESAMPLES))], np.arange(RESAMPLES)].mean(0)
    means = np.array([rowwise[sizes == size].mean() for size in distinct])
    repeats = np.array([(sizes == size).sum() for size in distinct])
    floor = 0.5 / m * max(float(rowwise.max(initial=0)), 1e-12)  # an error of nothing is half a row's at the most
    a, b, c = _fit(distinct, np.maximum(np.concatenate([means[:, None], picked], 1), floor), repeats)
    return Law(float(a[0]), float(b[0]), float(c[0]), (a[1:], b[1:], c[1:]))


def _fit(sizes: np.ndarray, means: np.ndarray, repeats: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a, b, c (R,) of each column of means (S, R): for every exponent the best a, b >= 0 by weighted least squares, then the best exponent.
    Weights are repeats over squared error, so that relative errors count alike."""
    weight = np.sqrt(repeats)[:, None] / np.square(means)  # (S, R)
    best = np.full(means.shape[1], np.inf)
    found = np.zeros((3, means.shape[1]))
    for c in EXPONENTS:
        x = sizes[:, None] ** -c
        w, wx, wy = weight.sum(0), (weight * x).sum(0), (weight * means).sum(0)
        wxx, wxy = (weight * x * x).sum(0), (weight * x * means).sum(0)
        under = np.maximum(w * wxx - wx**2, 1e-300)
        a, b = (wxx * wy - wx * wxy) / under, (w * wxy - wx * wy) / under
        a, b = np.where(b < 0, wy / w, a), np.maximum(b, 0)
        b, a = np.where(a < 0, wxy / wxx, b), np.maximum(a, 0)
        loss = (weight * np.square(means - a - b * x)).sum(0)
        better = loss < best * (1 - 1e-9)
        best, found = np.where(better, loss, best), np.where(better, np.stack([a, b, np.full_like(a, c)]), found)
    return found[0], found[1], found[2]
