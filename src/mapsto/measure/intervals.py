"""Intervals of shares and means in closed form, where a bootstrap of each of hundreds would take too long."""

from __future__ import annotations

import numpy as np

Z = 1.959964  # 97.5% of a standard normal lie below


def wilson(
    hits: np.ndarray | float, n: np.ndarray | float, z: float = Z
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(share, low, high) of hits among n, elementwise: Wilson's 95% score interval (1927), sensible for one
    row and for all right; nan for n = 0."""
    hits, n = np.asarray(hits, np.float64), np.asarray(n, np.float64)
    whole = np.where(n > 0, n, 1)
    share = np.where(n > 0, hits / whole, np.nan)
    middle = (share + z**2 / (2 * whole)) / (1 + z**2 / whole)
    half = z / (1 + z**2 / whole) * np.sqrt(share * (1 - share) / whole + z**2 / (4 * whole**2))
    low, high = (
        np.where(hits <= 0, 0.0, middle - half),
        np.where(hits >= n, 1.0, middle + half),
    )  # exactly, where rounding would miss it
    return share, np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def ratio(statistics: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """The 95% interval of a mean, statistics (n, 1), or of a ratio of sums, (n, 2). Shares of rows: Wilson's.
    Else the delta method with Student's quantile, over whole groups where given (Cochran 1977, section 6.3);
    (nan, nan) for a single row or group.
    """
    if groups is None and statistics.shape[1] == 1 and np.isin(statistics[:, 0], (0, 1)).all():
        _, low, high = wilson(statistics[:, 0].sum(), len(statistics))
        return float(low), float(high)
    return _delta(statistics, groups)[1:]


def difference(a: np.ndarray, b: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float, float]:
    """(b - a, low, high) of two means or ratios on the same rows: statistics (n, 1) or (n, 2) with the same
    second column. Paired: what makes a row easy or hard for both cancels."""
    return _delta(np.concatenate([b[:, :1] - a[:, :1], a[:, 1:]], 1), groups)


def _delta(statistics: np.ndarray, groups: np.ndarray | None) -> tuple[float, float, float]:
    from scipy.special import stdtrit

    above, below = (
        statistics[:, 0].astype(np.float64),
        statistics[:, 1] if statistics.shape[1] > 1 else np.ones(len(statistics)),
    )
    if groups is not None:
        units = np.unique(groups, return_inverse=True)[1].reshape(-1)
        above, below = np.bincount(units, above), np.bincount(units, below)
    if not below.sum():
        return np.nan, np.nan, np.nan
    value = float(above.sum() / below.sum())
    if len(above) < 2:
        return value, np.nan, np.nan
    error = np.sqrt(len(above) / (len(above) - 1) * np.square(above - value * below).sum()) / below.sum()
    half = float(stdtrit(len(above) - 1, 0.975)) * error
    return value, float(value - half), float(value + half)
