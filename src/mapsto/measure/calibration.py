"""How far a prediction can be trusted, learned on validation rows: honest probabilities, and intervals and
sets at 90% (`conformal`).

A calibration is JSON, one of
    {"kind": "regression", "halfwidth", "coverage", "n"}, with "scale" where the width depends on the row
    {"kind": "classes" | "labels", "temperature", "set", "coverage", "n"}
None stands for "not known", and applying it changes nothing. Validation rows also chose the best weights;
that costs nothing that could be measured: a temperature from them is as good as one from rows never looked at
(Fashion-MNIST, 5,000 rows: ECE .0115 and .0114).

One temperature and no more: a bias for each class, beta calibration and a power of the logits lowered the log
loss on Fashion-MNIST by up to 2% and the calibration error on none of the sets tried (benchmarks/LOG.md). It
never changes which answer is the likeliest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mapsto.measure import conformal
from mapsto.measure.conformal import COVERAGE
from mapsto.metrics import Arrays
from mapsto.prediction import Prediction, any_known

FOLDS = 5
TINY = 1e-12
LEAST = float(np.log(TINY))


def fit(kind: str, predicted: Arrays, target: np.ndarray, present: np.ndarray) -> dict[str, Any]:
    """Calibrate one output on validation predictions. kind: the head's; {} for kinds there is nothing to
    calibrate."""
    known = any_known(present)
    return (
        KINDS[kind]({name: values[known] for name, values in predicted.items()}, target[known])
        if kind in KINDS
        else {}
    )


def calibrated(predicted: Arrays, calibration: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Head arrays before decoding, of classes and labels: `probability` (n, K) with the temperature applied,
    and `set` (n, K) bool where sets are known. The most probable class, and on which side of one half a label
    lies, stay the same. Not to be applied twice.
    """
    found, several = dict(predicted), calibration.get("kind") == "labels"
    if (temperature := calibration.get("temperature")) is not None:
        found["probability"] = (_tempered_labels if several else _tempered)(
            predicted["probability"], temperature
        )
    if (least := calibration.get("set")) is not None:
        found["set"] = (conformal.in_label_set if several else conformal.in_class_set)(
            found["probability"], least
        )
    return found


def apply(
    decode: Callable[[Arrays], Sequence[Prediction]], predicted: Arrays, calibration: Mapping[str, Any]
) -> list[Prediction]:
    """Calibrated head arrays, decoded; low and high around every number or date, in the data's own terms."""
    found, half = list(decode(predicted)), conformal.halfwidths(predicted, calibration)
    if half is None:
        return found
    lows, highs = (decode({**predicted, "value": predicted["value"] + sign * half}) for sign in (-1, 1))
    return [
        replace(one, low=low.value, high=high.value)
        for one, low, high in zip(found, lows, highs, strict=True)
    ]


def _numbers(predicted: Arrays, target: np.ndarray) -> dict[str, Any]:
    return {"kind": "regression", **conformal.interval(predicted, target)}


def _classes(predicted: Arrays, target: np.ndarray) -> dict[str, Any]:
    """Temperature scaling (Guo et al. 2017): p^(1/T), renormalised, T minimising log loss. probability (n,
    K), target (n,) codes."""
    probability = predicted["probability"]
    inside = (target >= 0) & (target < probability.shape[1]) & np.isfinite(probability).all(1)
    probability, target = probability[inside], target[inside]
    found = _temperature(probability, target) if probability.shape[1] > 1 else None
    honest = probability if found is None else _tempered(probability, found)
    return {
        "kind": "classes",
        "temperature": found,
        "set": conformal.class_set(honest, target),
        "coverage": COVERAGE,
        "n": len(target),
    }


def _labels(predicted: Arrays, target: np.ndarray) -> dict[str, Any]:
    """One temperature for all labels: each known label of each row counts as a case of two classes.
    probability, target (n, K)."""
    probability = predicted["probability"]
    inside = np.isfinite(probability).all(1)
    probability, target = probability[inside], target[inside]
    known = target >= 0
    found = _temperature(_two(probability[known]), (target[known] > 0).astype(np.int64), np.nonzero(known)[0])
    honest = probability if found is None else _tempered_labels(probability, found)
    return {
        "kind": "labels",
        "temperature": found,
        "set": conformal.label_set(honest, target),
        "coverage": COVERAGE,
        "n": len(target),
    }


KINDS: Mapping[str, Callable[[Arrays, np.ndarray], dict[str, Any]]] = {
    "regression": _numbers,
    "classes": _classes,
    "labels": _labels,
}


def _temperature(probability: np.ndarray, target: np.ndarray, rows: np.ndarray | None = None) -> float | None:
    """The best temperature; None unless a T found on four fifths of the rows lowers the log loss of the other
    fifth, summed over the five. rows (n,): which row a case belongs to, where rows have several."""
    fold = (np.arange(len(target)) if rows is None else rows) % FOLDS
    if len(target) < 2 * FOLDS or len(np.unique(fold)) < FOLDS:
        return None
    gain = 0.0
    for k in range(FOLDS):
        held = fold == k
        found = _best_temperature(probability[~held], target[~held])
        gain += _log_loss(probability[held], target[held], 1.0) - _log_loss(
            probability[held], target[held], found
        )
    return _best_temperature(probability, target) if gain > 0 else None


def _best_temperature(probability: np.ndarray, target: np.ndarray) -> float:
    from scipy.optimize import minimize_scalar

    logs = np.log(probability.astype(np.float64) + TINY)
    found = minimize_scalar(
        lambda log_t: _loss_of_logs(logs / np.exp(log_t), target),
        bounds=(-3, 3),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return float(np.exp(found.x))


def _log_loss(probability: np.ndarray, target: np.ndarray, temperature: float) -> float:
    return _loss_of_logs(np.log(probability.astype(np.float64) + TINY) / temperature, target)


def _loss_of_logs(logs: np.ndarray, target: np.ndarray) -> float:
    """Of log probabilities (n, K), not yet normalised. Summed over rows, as if of n + 2 rows one had another
    class (Platt 1999's prior): a few rows that are all right prove no certainty."""
    logs = logs - logs.max(1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(1, keepdims=True))
    logs = np.maximum(logs, LEAST)
    doubt = 1 / (len(target) + 2)
    return float(-((1 - doubt) * logs[np.arange(len(target)), target] + doubt * logs.mean(1)).sum())


def _tempered(probability: np.ndarray, temperature: float) -> np.ndarray:
    scaled = np.log(probability.astype(np.float64) + TINY) / temperature  # (n, K)
    scaled = np.exp(scaled - scaled.max(-1, keepdims=True))
    return (scaled / scaled.sum(-1, keepdims=True)).astype(probability.dtype)


def _tempered_labels(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Each label's probability on its own, (n, K)."""
    return _tempered(_two(probability), temperature)[..., 1]


def _two(probability: np.ndarray) -> np.ndarray:
    """Probabilities of events (...) as those of two classes (..., 2)."""
    return np.stack([1 - probability, probability], -1)
