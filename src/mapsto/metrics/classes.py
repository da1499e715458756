"""One class of several: target (n,) class numbers, predicted {"probability": (n, K), "value": (n,)}."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mapsto.metrics import NAN, Arrays, Metric, area, areas, mean_areas, mean_defined, mean_of, mean_ratio

MOST_SUMMED = 200  # classes; of more, the sums of thousands of units would be gigabytes


def classification(classes: int) -> tuple[Metric, ...]:
    """The metrics of a category with so many classes; accuracy first."""
    found = [
        ACCURACY,
        *(
            metric if classes <= MOST_SUMMED else replace(metric, sums=None, of_sums=None)
            for metric in (BALANCED_ACCURACY, F1)
        ),
    ]
    if 2 <= classes <= 100:  # beyond, n × K statistics are too many to keep
        found.append(AUC_BINARY if classes == 2 else AUC_MACRO)
    return (*found, LOG_LOSS, TOP5) if classes > 10 else (*found, LOG_LOSS)


def _hit(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return np.where(target >= 0, predicted["value"] == target, np.nan)[:, None]


def _pairs(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return np.stack([target, predicted["value"]], 1).astype(np.float64)


def _known_pairs(statistics: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    known = statistics[statistics[:, 0] >= 0].astype(np.int64)
    return known[:, 0], known[:, 1], int(known.max()) + 1 if len(known) else 0


def _balanced(statistics: np.ndarray) -> float:
    truth, value, classes = _known_pairs(statistics)
    there = np.bincount(truth, minlength=classes)
    hits = np.bincount(truth[truth == value], minlength=classes)
    return float((hits[there > 0] / there[there > 0]).mean()) if len(truth) else NAN


def _f1(statistics: np.ndarray) -> float:
    truth, value, classes = _known_pairs(statistics)
    both = np.bincount(truth, minlength=classes) + np.bincount(value, minlength=classes)  # 2 tp + fp + fn
    hits = np.bincount(truth[truth == value], minlength=classes)
    return float((2 * hits[both > 0] / both[both > 0]).mean()) if len(truth) else NAN


def _class_sums(statistics: np.ndarray, units: np.ndarray, count: int) -> np.ndarray:
    """Pairs (n, 2) -> (U, 3K): rows of each class, rows it was said of, and hits. Rows that are not known
    count nowhere."""
    known = statistics[:, 0] >= 0
    truth, value = statistics[known].astype(np.int64).T
    units, classes = units[known], int(statistics.max()) + 1
    hit = truth == value

    def per_class(of: np.ndarray, unit: np.ndarray) -> np.ndarray:
        return np.bincount(unit * classes + of, minlength=count * classes).reshape(count, classes)

    return np.concatenate(
        [per_class(truth, units), per_class(value, units), per_class(truth[hit], units[hit])], 1
    )


def _balanced_of_sums(sums: np.ndarray) -> np.ndarray:
    there, _, hits = np.split(sums, 3, 1)
    return mean_ratio(hits, there)


def _f1_of_sums(sums: np.ndarray) -> np.ndarray:
    there, said, hits = np.split(sums, 3, 1)
    return mean_ratio(2 * hits, there + said)


def _scores(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return np.concatenate([target[:, None], predicted["probability"]], 1).astype(np.float64)


def _auc_binary(statistics: np.ndarray) -> float:
    known = statistics[statistics[:, 0] >= 0]
    return area(known[:, 0] == 1, known[:, 2])


def _auc_macro(statistics: np.ndarray) -> float:
    known = statistics[statistics[:, 0] >= 0]
    return mean_defined([area(known[:, 0] == k, known[:, k + 1]) for k in range(statistics.shape[1] - 1)])


def _auc_binary_weighted(statistics: np.ndarray, weight: np.ndarray) -> np.ndarray:
    known = statistics[:, 0] >= 0
    return areas(statistics[known, 0] == 1, statistics[known, 2], weight[:, known])


def _auc_macro_weighted(statistics: np.ndarray, weight: np.ndarray) -> np.ndarray:
    known = statistics[:, 0] >= 0
    statistics, weight = statistics[known], weight[:, known]
    return mean_areas(
        [areas(statistics[:, 0] == k, statistics[:, k + 1], weight) for k in range(statistics.shape[1] - 1)]
    )


def _surprise(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    right = predicted["probability"][np.arange(len(target)), np.maximum(target, 0)].astype(np.float64)
    return np.where(target >= 0, -np.log(np.maximum(right, 1e-12)), np.nan)[:, None]


def _among_five(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    best = np.argpartition(-predicted["probability"], 4, axis=1)[:, :5]
    return np.where(target >= 0, (best == target[:, None]).any(1), np.nan)[:, None]


ACCURACY = Metric("accuracy", "Share of rows whose most probable class is the true one.", _hit, mean_of)


BALANCED_ACCURACY = Metric(
    "balanced_accuracy",
    "Mean over the classes that occur of the share of their rows found.",
    _pairs,
    _balanced,
    sums=_class_sums,
    of_sums=_balanced_of_sums,
)


F1 = Metric(
    "f1",
    "Mean over classes of the harmonic mean of precision and recall (macro F1).",
    _pairs,
    _f1,
    sums=_class_sums,
    of_sums=_f1_of_sums,
)


AUC_BINARY = Metric(
    "auc",
    "Probability that a row of the second class is ranked above one of the first.",
    _scores,
    _auc_binary,
    weighted=_auc_binary_weighted,
)


AUC_MACRO = Metric(
    "auc",
    "Mean over the classes that occur of the probability that their rows are ranked above the others' (one"
    " against the rest).",
    _scores,
    _auc_macro,
    weighted=_auc_macro_weighted,
)


LOG_LOSS = Metric(
    "log_loss",
    "Mean negative logarithm (nats) of the probability given to the true class.",
    _surprise,
    mean_of,
    False,
)


TOP5 = Metric("top5", "Share of rows whose true class is among the five most probable.", _among_five, mean_of)
