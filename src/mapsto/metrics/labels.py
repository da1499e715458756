"""Several labels at once: target (n, K) of 1, 0 and -1 (not known), predicted {"probability", "value": (n,
K)}."""

from __future__ import annotations

import numpy as np

from mapsto.metrics import (
    NAN,
    Arrays,
    Metric,
    area,
    areas,
    mean_areas,
    mean_defined,
    mean_of,
    mean_ratio,
    ratio_of,
    summed,
)


def _label_scores(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return np.concatenate([target, predicted["probability"]], 1).astype(np.float64)


def _auc_labels(statistics: np.ndarray) -> float:
    truth, score = np.split(statistics, 2, 1)
    return mean_defined([area(t[t >= 0] == 1, s[t >= 0]) for t, s in zip(truth.T, score.T, strict=True)])


def _auc_labels_weighted(statistics: np.ndarray, weight: np.ndarray) -> np.ndarray:
    truth, score = np.split(statistics, 2, 1)
    return mean_areas(
        [areas(t[t >= 0] == 1, s[t >= 0], weight[:, t >= 0]) for t, s in zip(truth.T, score.T, strict=True)]
    )


def _confusion(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    """(n, 2K): per label a hit, and 2 tp + fp + fn."""
    value, known = predicted["value"].astype(bool), target >= 0
    true = target == 1
    return np.concatenate([value & true, (value & known) + true.astype(np.int64)], 1).astype(np.float64)


def _f1_micro(statistics: np.ndarray) -> float:
    hits, both = np.split(statistics.sum(0), 2)
    return float(2 * hits.sum() / both.sum()) if both.sum() else NAN


def _f1_macro(statistics: np.ndarray) -> float:
    hits, both = np.split(statistics.sum(0), 2)
    return float((2 * hits[both > 0] / both[both > 0]).mean()) if both.any() else NAN


def _micro_of_sums(sums: np.ndarray) -> np.ndarray:
    hits, both = (part.sum(1, keepdims=True) for part in np.split(sums, 2, 1))
    return mean_ratio(2 * hits, both)


def _macro_of_sums(sums: np.ndarray) -> np.ndarray:
    hits, both = np.split(sums, 2, 1)
    return mean_ratio(2 * hits, both)


def _wrong(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    known = target >= 0
    wrong = known & (predicted["value"].astype(bool) != (target == 1))
    return np.stack([wrong.sum(1), known.sum(1)], 1).astype(np.float64)


def _exact(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    wrong, known = _wrong(predicted, target).T
    return np.where(known > 0, wrong == 0, np.nan)[:, None]


MULTI_LABEL = (
    Metric(
        "auc",
        "Mean over the labels that occur with both values of the area under the ROC curve.",
        _label_scores,
        _auc_labels,
        weighted=_auc_labels_weighted,
    ),
    Metric(
        "f1",
        "Harmonic mean of precision and recall over all labels of all rows (micro F1) at probability one"
        " half.",
        _confusion,
        _f1_micro,
        sums=summed,
        of_sums=_micro_of_sums,
    ),
    Metric(
        "f1_macro",
        "Mean over labels of their F1 at probability one half.",
        _confusion,
        _f1_macro,
        sums=summed,
        of_sums=_macro_of_sums,
    ),
    Metric("subset_accuracy", "Share of rows of which every known label is right.", _exact, mean_of),
    Metric("hamming", "Share of known labels that are wrong.", _wrong, ratio_of, False),
)
