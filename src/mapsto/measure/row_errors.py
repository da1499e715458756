"""Row by row: how wrong an answer is, and the truth and the answer in words. One entry a kind of head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapsto.measure import calibration
from mapsto.metrics import Arrays, Metric, mean_of, ratio_of
from mapsto.types.base import DataType, Head
from mapsto.types.number.numerals import brief

TINY = 1e-12


@dataclass(frozen=True)
class Kind:
    """What differs between kinds of heads. All functions take predicted arrays (n, ...) and targets as the
    room collates them."""

    loss: Callable[[Arrays, np.ndarray], np.ndarray]  # -> (n,) how wrong, nan where nothing is known
    wrong: Callable[
        [Arrays, np.ndarray], np.ndarray
    ]  # -> (n,) bool: is the answer wrong; a number always is, more or less
    truth: Callable[
        [np.ndarray, Arrays], dict[str, np.ndarray]
    ]  # targets, a prediction of the same width -> arrays as if predicted


def _surprise(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    right = predicted["probability"][np.arange(len(target)), np.maximum(target, 0)].astype(np.float64)
    return np.where(target >= 0, -np.log(np.maximum(right, TINY)), np.nan)


def _one_hot(target: np.ndarray, predicted: Arrays) -> dict[str, np.ndarray]:
    probability = np.zeros((len(target), predicted["probability"].shape[1]), np.float32)
    probability[np.arange(len(target)), np.maximum(target, 0)] = 1
    return {"probability": probability, "value": np.maximum(target, 0)}


def _label_loss(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    """The log loss summed over a row's known labels."""
    probability = predicted["probability"].astype(np.float64)
    of_truth = np.where(target > 0, probability, 1 - probability)
    known = target >= 0
    return np.where(
        known.any(1),
        -np.log(np.maximum(of_truth, TINY), where=known, out=np.zeros_like(of_truth)).sum(1),
        np.nan,
    )


def _error(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return np.abs(predicted["value"].astype(np.float64) - target)


KINDS: Mapping[str, Kind] = {
    "classes": Kind(
        _surprise, lambda predicted, target: (target >= 0) & (predicted["value"] != target), _one_hot
    ),
    "labels": Kind(
        _label_loss,
        lambda predicted, target: ((target >= 0) & (predicted["value"].astype(bool) != (target > 0))).any(1),
        lambda target, predicted: {"probability": (target > 0).astype(np.float32), "value": target > 0},
    ),
    "regression": Kind(
        _error,
        lambda predicted, target: np.ones(len(target), bool),
        lambda target, predicted: {"value": target},
    ),
}


def plain_metric(column_type: DataType) -> Metric | None:
    """The room's first metric that is a mean over rows or labels: it can be compared between any two sets of
    rows, however few or alike their targets are. None when there is none."""
    return next((metric for metric in column_type.metrics if metric.reduce in (mean_of, ratio_of)), None)


def in_words(value: Any) -> str:
    """A decoded value: several labels with commas, numbers with four digits."""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return brief(value) if isinstance(value, float) else str(value)


def truths(head: Head, kind: str, target: np.ndarray, predicted: Arrays) -> list[str]:
    """The true answers in the data's own words."""
    return [in_words(found.value) for found in head.decode(KINDS[kind].truth(target, predicted))]


def said(head: Head, predicted: Arrays, known: Mapping[str, Any]) -> list[str]:
    """What was predicted, with its probability or the ends of its interval. predicted: calibrated; known: the
    calibration."""
    words = []
    for found in calibration.apply(head.decode, predicted, known):
        more = f" ({found.probability:.2f})" if found.probability is not None else ""
        more = f" ({in_words(found.low)} to {in_words(found.high)})" if found.low is not None else more
        words.append(in_words(found.value) + more)
    return words
