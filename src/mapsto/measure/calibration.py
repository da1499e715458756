"""How far a prediction can be trusted, learned on validation rows: a number's 90% interval, a class's honest probability.

A calibration is JSON: {"kind": "regression", "halfwidth", "coverage", "n"} or {"kind": "classes", "temperature", "n"}; None stands for
"not known", and applying it changes nothing. Validation rows also chose the best weights, so intervals are slightly too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from mapsto.decode import Prediction
from mapsto.measure.scores import any_known
from mapsto.metrics import Arrays

COVERAGE = 0.9
FOLDS = 5
TINY = 1e-12


def fit(kind: str, predicted: Arrays, target: np.ndarray, present: np.ndarray) -> dict[str, Any]:
    """Calibrate one output on validation predictions. kind: the head's; {} for kinds there is nothing to calibrate."""
    known = any_known(present)
    return KINDS[kind]({name: values[known] for name, values in predicted.items()}, target[known]) if kind in KINDS else {}


def calibrated(predicted: Arrays, calibration: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Head arrays before decoding: probability (n, K) with the temperature applied. The most probable class stays the same."""
    temperature = calibration.get("temperature")
    if temperature is None:
        return dict(predicted)
    return {**predicted, "probability": _tempered(predicted["probability"], temperature)}


def apply(decode: Callable[[Arrays], Sequence[Prediction]], predicted: Arrays, calibration: Mapping[str, Any]) -> list[Prediction]:
    """Head arrays, decoded; low and high around every number or date, in the data's own terms."""
    found, half = list(decode(predicted)), calibration.get("halfwidth")
    if half is None:
        return found
    lows, highs = (decode({**predicted, "value": predicted["value"] + sign * half}) for sign in (-1, 1))
    return [replace(one, low=low.value, high=high.value) for one, low, high in zip(found, lows, highs, strict=True)]


def halfwidth(predicted: Arrays, target: np.ndarray) -> dict[str, Any]:
    """Split conformal prediction (Vovk 2005; Lei et al. 2018): the ceil((n+1) 0.9)-th smallest absolute residual. value, target (n,).

    Covers a new row with probability >= 0.9 when rows are exchangeable. Below 9 rows no finite interval does: None.
    """
    residuals = np.abs(predicted["value"].reshape(-1).astype(np.float64) - target.reshape(-1))
    residuals = np.sort(np.where(np.isfinite(residuals), residuals, np.inf))
    rank = ceil((len(residuals) + 1) * COVERAGE)
    found = residuals[rank - 1] if rank <= len(residuals) else np.inf
    return {"kind": "regression", "halfwidth": float(found) if np.isfinite(found) else None, "coverage": COVERAGE, "n": len(residuals)}


def temperature(predicted: Arrays, target: np.ndarray) -> dict[str, Any]:
    """Temperature scaling (Guo et al. 2017): p^(1/T), renormalised, T minimising log loss. probability (n, K), target (n,) codes.

    Kept only if a T found on four fifths of the rows lowers the log loss of the other fifth, summed over the five; None otherwise.
    """
    probability = predicted["probability"]
    inside = (target >= 0) & (target < probability.shape[1]) & np.isfinite(probability).all(1)
    probability, target = probability[inside], target[inside]
    empty = {"kind": "classes", "temperature": None, "n": len(target)}
    if len(target) < 2 * FOLDS or probability.shape[1] < 2:
        return empty
    fold = np.arange(len(target)) % FOLDS
    gain = 0.0
    for k in range(FOLDS):
        held = fold == k
        found = _best_temperature(probability[~held], target[~held])
        gain += _log_loss(probability[held], target[held], 1.0) - _log_loss(probability[held], target[held], found)
    return {**empty, "temperature": _best_temperature(probability, target)} if gain > 0 else empty


KINDS: Mapping[str, Callable[[Arrays, np.ndarray], dict[str, Any]]] = {"regression": halfwidth, "classes": temperature}


def _best_temperature(probability: np.ndarray, target: np.ndarray) -> float:
    found = minimize_scalar(lambda log_t: _log_loss(probability, target, float(np.exp(log_t))), bounds=(-3, 3), method="bounded")
    return float(np.exp(found.x))


def _log_loss(probability: np.ndarray, target: np.ndarray, temperature: float) -> float:
    """Summed over rows, as if of n + 2 rows one had another class (Platt 1999's prior): a few rows that are all right prove no certainty."""
    logs = np.log(_tempered(probability, temperature) + TINY)  # (n, K)
    doubt = 1 / (len(target) + 2)
    return float(-((1 - doubt) * logs[np.arange(len(target)), target] + doubt * logs.mean(1)).sum())


def _tempered(probability: np.ndarray, temperature: float) -> np.ndarray:
    scaled = np.log(probability.astype(np.float64) + TINY) / temperature  # (n, K)
    scaled = np.exp(scaled - scaled.max(-1, keepdims=True))
    return (scaled / scaled.sum(-1, keepdims=True)).astype(probability.dtype)
