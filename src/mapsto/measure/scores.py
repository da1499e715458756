"""What is said of a run in figures: every metric with its definition, n and a 95% interval.

`metrics.json`, version 1, made by `record`:

    {"version": 1,
     "interval": how low and high were found,
     "train" | "validation" | "test": {SLOT: {METRIC: {"value", "low", "high", "n", "definition"}}},
     "parts": {"before" | "added": {SLOT: as above}}, only of a run that rows were added to: its
      test rows of before, and the new ones,
     "baselines": {SLOT: {"majority" | "mean" | "linear" | "nearest": {METRIC: {the same five}}}}}

value, low and high are numbers or null: value is null when the metric is undefined here (no known label, one
class for an AUC, a prediction that is not finite), low and high also when there are fewer than five rows, or
groups. n counts the rows with a known label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np

from mapsto.batch import key
from mapsto.metrics import Arrays, Metric, mean_of, ratio_of
from mapsto.prediction import any_known

VERSION = 1
FEWEST_UNITS = 5  # rows or groups: of four a percentile interval of 95% holds a mean in 80%, a share in 57%
INTERVAL = "95% percentile bootstrap over rows, or over whole groups where --group is given"
LEVEL = (0.025, 0.975)
SUM_UNITS, SUM_RESAMPLES = (
    2_000,
    1000,
)  # a function of sums: 2 million draws for all metrics of a split, about 0.03 s on one core
WEIGHTED, RANKED_WORK, AT_ONCE = (
    400_000,
    10_000_000,
    1_000_000,
)  # ranks: numbers sorted once, and read in all; below 0.1 s
FEWEST_ROWS, MOST_ROWS, NUMBERS = (
    2_000,
    10_000,
    50_000,
)  # any other metric: rows of one resample, and rows x k
FEWEST, MOST, WORK = (
    100,
    1000,
    6_000_000,
)  # resamples, and numbers they read in all: about 0.5 s for an AUC of 10 classes

Scores = dict[str, dict[str, Any]]


def score(
    metrics: Sequence[Metric],
    predicted: Arrays,
    target: np.ndarray,
    present: np.ndarray,
    groups: np.ndarray | None = None,
) -> Scores:
    """All metrics of an output over the rows with a known label: {metric: {"value", "low", "high", "n",
    "definition"}}.

    predicted: arrays (n, ...) as the head's `predict` gives them; present: bool, (n,) or the target's shape.
    JSON-able.
    """
    known = any_known(present)
    shown, target, groups = (
        {name: values[known] for name, values in predicted.items()},
        target[known],
        None if groups is None else groups[known],
    )
    finite = all(values.dtype.kind != "f" or np.isfinite(values).all() for values in shown.values())
    found = {}
    for metric in metrics:
        statistics = np.asarray(metric.rows(shown, target), np.float64) if finite and len(target) else None
        found[metric.name] = _one(metric, statistics, len(target), groups)
        if metric.says:
            found[metric.name]["definition"] = metric.says(target)
    return found


def scored(
    metrics: Sequence[Metric], statistics: Arrays, present: np.ndarray, groups: np.ndarray | None = None
) -> Scores:
    """The same of what the metrics know of each row, {metric: (n, k)}, where it is known."""
    known, metrics = any_known(present), [metric for metric in metrics if metric.name in statistics]
    groups = None if groups is None else groups[known]
    return {
        metric.name: _one(metric, statistics[metric.name][known].astype(np.float64), int(known.sum()), groups)
        for metric in metrics
    }


def record(
    splits: Mapping[str, Mapping[str, Scores]],
    baselines: Mapping[str, Mapping[str, Scores]],
    parts: Mapping[str, Mapping[str, Scores]] | None = None,
) -> dict[str, Any]:
    """The content of metrics.json. splits: {"train" | "validation" | "test": {slot: scores}}; baselines:
    {slot: {name: scores}}; parts: {"before" | "added": {slot: scores}}."""
    return {
        "version": VERSION,
        "interval": INTERVAL,
        **splits,
        **({"parts": dict(parts)} if parts else {}),
        "baselines": dict(baselines),
    }


def interval(
    statistics: np.ndarray, metric: Metric, groups: np.ndarray | None = None, seed: int = 0
) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of `metric.reduce` over rows, or over whole groups. statistics
    (n, k), groups (n,).

    Rows whose statistics are NaN count in no metric and are left out. (nan, nan) where there are fewer than
    FEWEST_UNITS rows or groups, or when the value or most resamples are undefined. The work is a function of
    (n, k), never of the clock. Means and what else is a function of sums resample at most 2,000 units (above
    that, rows fall at random into 2,000 blocks, whose sums vary as much). Other metrics above about 10,000
    rows resample m of the n units and shrink the spread by sqrt(m/n) (Bickel, Goetze & van Zwet 1997), but
    for ranks that are sorted once.
    """
    value = metric.reduce(statistics)
    counted = ~np.isnan(statistics).any(1)
    if not np.isfinite(value) or not counted.any():
        return np.nan, np.nan
    statistics = statistics[counted]
    units = (
        np.arange(len(statistics))
        if groups is None
        else np.unique(groups[counted], return_inverse=True)[1].reshape(-1)
    )  # (n,) 0 … U-1
    found = int(units.max()) + 1
    mean = metric.reduce is mean_of
    if mean and metric.higher_is_better and value in (0.0, 1.0) and np.ptp(statistics[:, 0]) == 0:
        return _all_alike(value, found)
    if found < FEWEST_UNITS:
        return np.nan, np.nan
    if mean or metric.reduce is ratio_of:
        low, high = _of_ratio(
            statistics[:, 0], np.ones(len(statistics)) if mean else statistics[:, 1], units, seed
        )
    elif (found := _resampled(statistics, metric, units, seed)) is not None:
        low, high = _ends(found)
    else:
        draw = np.random.default_rng(key(seed, "interval", metric.name, len(statistics)))
        low, high = _of_any(statistics, metric.reduce, value, units, draw)
    return (min(low, value), max(high, value)) if np.isfinite([low, high]).all() else (np.nan, np.nan)


def _one(metric: Metric, statistics: np.ndarray | None, n: int, groups: np.ndarray | None) -> dict[str, Any]:
    value = low = high = np.nan
    if n and statistics is not None:
        value = metric.reduce(statistics)
        low, high = interval(statistics, metric, groups)
    numbers = {
        name: float(number) if np.isfinite(number) else None
        for name, number in (("value", value), ("low", low), ("high", high))
    }
    return {**numbers, "n": n, "definition": metric.definition}


def _all_alike(value: float, units: int) -> tuple[float, float]:
    """All right or all wrong: no resample can show the other, so the exact binomial bound stands in (Clopper
    & Pearson 1934)."""
    worst = LEVEL[0] ** (1 / units)
    return (worst, 1.0) if value == 1.0 else (0.0, 1.0 - worst)


@lru_cache(maxsize=2)  # of a split and of its known rows: the metrics of both are resampled alike
def _counts(units: int, resamples: int, seed: int) -> np.ndarray:
    """(R, U) float32: how often each unit is drawn in each resample."""
    draw = np.random.default_rng(key(seed, "resamples", units))
    counts = np.empty((resamples, units), np.float32)
    at_once = max(1, AT_ONCE // units)
    for low in range(0, resamples, at_once):
        some = counts[low : low + at_once]
        picked = draw.integers(units, size=some.shape, dtype=np.int32) + np.arange(len(some), dtype=np.int32)[
            :, None
        ] * np.int32(units)
        some[:] = np.bincount(picked.reshape(-1), minlength=some.size).reshape(some.shape)
    return counts


def _blocks(units: np.ndarray, seed: int) -> np.ndarray:
    """Units (n,) 0 … U-1 as at most SUM_UNITS: above that they fall at random into so many."""
    if units.max() < SUM_UNITS:
        return units
    order = np.random.default_rng(key(seed, "blocks", int(units.max()))).permutation(units.max() + 1)
    return (order % SUM_UNITS)[units]


def _of_ratio(sums: np.ndarray, counts: np.ndarray, units: np.ndarray, seed: int) -> tuple[float, float]:
    """A mean is a ratio of sums, so each unit is its sum and its count. All (n,)."""
    units = _blocks(units, seed)
    each = np.stack([np.bincount(units, sums), np.bincount(units, counts)], 1)  # (U, 2)
    total, count = (_counts(len(each), SUM_RESAMPLES, seed) @ each).T
    low, high = np.quantile(total[count > 0] / count[count > 0], LEVEL)
    return float(low), float(high)


def _resampled(statistics: np.ndarray, metric: Metric, units: np.ndarray, seed: int) -> np.ndarray | None:
    """(R,) values of the metric over resamples of units, all at once; None where the metric, or its size,
    forbids it."""
    units = _blocks(units, seed)
    count = int(units.max()) + 1
    if metric.sums and metric.of_sums:
        return metric.of_sums(_counts(count, SUM_RESAMPLES, seed) @ metric.sums(statistics, units, count))
    if metric.weighted is None or statistics.size > WEIGHTED:
        return None
    resamples = int(np.clip(RANKED_WORK // statistics.size, FEWEST, SUM_RESAMPLES))
    drawn, at_once = _counts(count, SUM_RESAMPLES, seed), max(1, AT_ONCE // len(units))
    return np.concatenate(
        [
            metric.weighted(statistics, drawn[low : low + at_once][:, units])
            for low in range(0, resamples, at_once)
        ]
    )


def _ends(values: np.ndarray) -> tuple[float, float]:
    """The interval of resampled values; (nan, nan) where half of them are undefined."""
    known = values[np.isfinite(values)]
    if len(known) < len(values) / 2:
        return np.nan, np.nan
    low, high = np.quantile(known, LEVEL)
    return float(low), float(high)


def _of_any(
    statistics: np.ndarray,
    reduce: Callable[[np.ndarray], float],
    value: float,
    units: np.ndarray,
    draw: np.random.Generator,
) -> tuple[float, float]:
    """Resample rows group by group. Where m of U units are drawn, or rows of large groups are thinned, the
    spread is scaled and centred on the value; a plain percentile interval otherwise."""
    n, found = len(units), int(units.max()) + 1
    most = int(np.clip(NUMBERS // statistics.shape[1], FEWEST_ROWS, MOST_ROWS))
    m = min(
        found, max(200, most * found // n)
    )  # units a resample draws: about `most` rows, but never few groups
    share = min(
        1.0, 2 * most / (n * m / found)
    )  # of the rows of each group; below 1 only for few, large groups
    rows = np.arange(n) if share == 1.0 else np.flatnonzero(draw.random(n) < share)
    rows = rows[np.argsort(units[rows], kind="stable")]  # group after group
    sizes = np.bincount(units[rows], minlength=found)  # (U,)
    starts = np.cumsum(sizes) - sizes
    resamples = int(np.clip(WORK * found // (len(rows) * m * statistics.shape[1] + 1), FEWEST, MOST))
    values = np.empty(resamples)
    for i in range(resamples):
        picked = draw.integers(found, size=m)
        lengths = sizes[picked]
        offsets = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        values[i] = reduce(statistics[rows[np.repeat(starts[picked], lengths) + offsets]])
    if m < found or share < 1.0:
        values = (
            value + (values - values[np.isfinite(values)].mean()) * sqrt(m / found)
            if np.isfinite(values).any()
            else values
        )
    return _ends(values)
