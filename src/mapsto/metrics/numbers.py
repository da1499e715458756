"""Numbers: target (n,), predicted {"value": (n,)}."""

from __future__ import annotations

import numpy as np

from mapsto.metrics import NAN, Arrays, Metric, mean_of, summed


def _numbers(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return np.stack([target, predicted["value"]], 1).astype(np.float64)


def _error(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return np.abs(predicted["value"].astype(np.float64) - target)[:, None]


def _squared_error(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return _error(predicted, target) ** 2


def _r2(statistics: np.ndarray) -> float:
    known = statistics[~np.isnan(statistics[:, 0])]
    if len(known) < 2 or np.ptp(known[:, 0]) == 0:
        return NAN
    truth, value = known.T
    return float(1 - ((truth - value) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


def _r2_sums(statistics: np.ndarray, units: np.ndarray, count: int) -> np.ndarray:
    """Pairs (n, 2) -> (U, 4): rows, their truth and its square (about the mean of all, for the sake of
    arithmetic), squared errors."""
    truth, value = statistics.T
    moved = truth - truth.mean()
    return summed(np.stack([np.ones_like(truth), moved, moved**2, (truth - value) ** 2], 1), units, count)


def _r2_of_sums(sums: np.ndarray) -> np.ndarray:
    rows, truth, squares, left = sums.T
    whole = squares - np.divide(truth**2, rows, out=np.zeros_like(truth), where=rows > 0)
    alike = whole <= 1e-12 * np.maximum(squares, 1e-300)
    return np.where(alike | (rows < 2), NAN, 1 - left / np.where(alike, 1, whole))


def _rmse_sums(statistics: np.ndarray, units: np.ndarray, count: int) -> np.ndarray:
    return summed(np.concatenate([statistics[:, :1], np.ones((len(statistics), 1))], 1), units, count)


def _rmse_of_sums(sums: np.ndarray) -> np.ndarray:
    return np.sqrt(np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), NAN), where=sums[:, 1] > 0))


R2 = Metric(
    "r2",
    "Share of the target's variance explained: 1 is perfect, 0 is as good as always saying the mean.",
    _numbers,
    _r2,
    sums=_r2_sums,
    of_sums=_r2_of_sums,
)


RMSE = Metric(
    "rmse",
    "Square root of the mean squared error, in the target's unit.",
    _squared_error,
    lambda s: float(np.sqrt(mean_of(s))),
    False,
    sums=_rmse_sums,
    of_sums=_rmse_of_sums,
)


MAE = Metric("mae", "Mean absolute error, in the target's unit.", _error, mean_of, False)


REGRESSION = (R2, RMSE, MAE)
