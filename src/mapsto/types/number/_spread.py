"""How training values are spread: their mean, their standard deviation, and the knots between them."""

from __future__ import annotations

import numpy as np

from mapsto.types.number.numerals import DAY, iso

TINY = 1e-140  # a spread whose square float64 barely holds: that is rounding, too
FAR = 1_000  # spans of nine tenths of the values: the tail of a log-normal of spread 3 reaches 60


def spread_of(values: np.ndarray) -> tuple[float, float, float]:
    """(mean, standard deviation, deviations beyond which a value counts no further) of (n,) numbers. A single
    1e12 among ones would make both; such values are left out, and then the last tells where the others end.
    It is 0 where there are none, and so is the deviation where all are alike but for rounding."""
    middle = _without_far(values)
    mean, std = float(middle.mean()), float(middle.std())
    if std <= max(TINY, 1e-12 * abs(mean)):
        return mean, 0.0, 0.0
    far = len(middle) < len(values)
    return mean, std, float(np.abs(middle - mean).max()) / std if far else 0.0


def _without_far(values: np.ndarray) -> np.ndarray:
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    span = float(high - low)
    if not span or float(values.std()) < FAR * span:
        return values
    return values[np.abs(values - middle) <= FAR / 10 * span]


def spread_words(distinct: int, mean: float, std: float, log: bool, dates: bool) -> str:
    """Of a column with so many different values, for people. dates: mean and spread are in seconds."""
    if dates and distinct:
        around = iso(round(mean / DAY) * DAY)
        return f"dates around {around}" + (f", give or take {std / DAY:,.3g} days" if distinct > 1 else "")
    if distinct < 2:
        return f"always {mean:,.4g}" if distinct else "no value is known"
    return f"mean {mean:,.4g}, spread {std:,.4g}" + (", on the scale log(1 + |x|)" if log else "")


def said_far(name: str, mean: float, reach: float) -> str:
    """reach: how far from the mean a value of the column counts; 0: however far."""
    if not reach:
        return ""
    return (
        f"'{name}' holds values far from all others; they count as {mean:,.4g} ± {reach:,.4g}"
        f" ({name}:number(log=true) takes them whole)"
    )


def knots(values: np.ndarray, most: int) -> np.ndarray:
    """At most `most` + 1 ascending knots: quantiles of the distinct values, each with the root of its count
    as mass, so that a value as frequent as capital-gain's zero does not take them all."""
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= most + 1:
        return distinct
    mass = np.cumsum(np.sqrt(counts))
    at = np.searchsorted(mass, np.linspace(0, 1, most + 1)[1:-1] * mass[-1])
    return distinct[np.unique(np.concatenate([[0], at, [len(distinct) - 1]]))]
