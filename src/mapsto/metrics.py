"""Metrics as two functions, so that any of them bootstraps over rows or groups.

`rows(predicted, target)` gives per-row statistics (n, k); `reduce(statistics)` turns the statistics of any
selection of rows into the value. `predicted` is what a head's `predict` gave, as numpy arrays; `target` what
the room's collate gave. Rows whose label is not known (-1 for classes, NaN for numbers) count in no metric.
Statistics of several folds may be concatenated.

Where a metric is a function of sums over rows, or of ranks that one sorting finds, it may say so (`sums` and
`of_sums`, or `weighted`): then all resamples of a bootstrap are one product of matrices, or one pass, in
place of a reduction each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

Arrays = Mapping[str, np.ndarray]
NAN = float("nan")
MOST_SUMMED = 200  # classes; of more, the sums of thousands of units would be gigabytes


@dataclass(frozen=True)
class Metric:
    """A named number about predictions. `definition` is one sentence; `bounds` its worst and best value."""

    name: str
    definition: str
    rows: Callable[[Arrays, np.ndarray], np.ndarray]  # -> (n, k) float64
    reduce: Callable[[np.ndarray], float]  # (n, k) -> value; nan when undefined
    higher_is_better: bool = True
    sums: Callable[[np.ndarray, np.ndarray, int], np.ndarray] | None = (
        None  # (n, k), units (n,) 0 … U-1, U -> (U, j)
    )
    of_sums: Callable[[np.ndarray], np.ndarray] | None = (
        None  # (R, j), sums over R selections of rows -> their values (R,)
    )
    weighted: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = (
        None  # (n, k), how often each row counts (R, n) float32 -> (R,)
    )
    says: Callable[[np.ndarray], str] | None = (
        None  # target -> the definition, where it depends on the targets
    )

    def better(self, a: float, b: float) -> bool:
        """Is `a` better than `b`? nan is worse than everything."""
        if np.isnan(a) or np.isnan(b):
            return not np.isnan(a)
        return a > b if self.higher_is_better else a < b


def mean_of(statistics: np.ndarray) -> float:
    """The reduce of every metric that is a plain mean over rows. (n, k) -> mean of the first column; NaN rows
    do not count."""
    column = statistics[:, 0] if len(statistics) else np.empty(0)
    known = column[~np.isnan(column)]
    return float(known.mean()) if len(known) else NAN


def ratio_of(statistics: np.ndarray) -> float:
    """(n, 2) -> the first column's sum over the second's: a mean over labels where rows hold unequally
    many."""
    count = statistics[:, 1].sum()
    return float(statistics[:, 0].sum() / count) if count else NAN


def area(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve: the share of (positive, negative) pairs ranked rightly, ties half. truth (n,)
    bool, score (n,)."""
    positive = int(truth.sum())
    negative = len(truth) - positive
    if not positive or not negative or np.isnan(score).any():
        return NAN
    order = np.argsort(score)
    ranked, truth = score[order], truth[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])  # of runs of equal scores
    up = np.add.reduceat(truth.astype(np.int64), starts)  # positives in each run
    down = np.diff(np.r_[starts, len(truth)]) - up
    return float((up * (np.cumsum(down) - down / 2)).sum() / (positive * negative))


def summed(columns: np.ndarray, units: np.ndarray, count: int) -> np.ndarray:
    """(n, j) -> (U, j): sums over the rows of each unit."""
    return np.stack([np.bincount(units, column, minlength=count) for column in columns.T], 1)


def areas(truth: np.ndarray, score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`area` (R,) of rows that count `weight` (R, n) times; truth (n,) bool, score (n,) finite."""
    order = np.argsort(score)
    truth, ranked, weight = truth[order], score[order], weight[:, order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    up, down = weight * truth, weight * ~truth
    if len(starts) < len(ranked):
        up, down = (np.add.reduceat(part, starts, axis=1) for part in (up, down))
    below = np.cumsum(down, 1)  # whole numbers, exact in float32
    pairs = up.sum(1, dtype=np.float64) * down.sum(1, dtype=np.float64)
    won = np.einsum("rn,rn->r", up, below - down / 2, dtype=np.float64)
    return np.divide(won, pairs, out=np.full(len(pairs), NAN), where=pairs > 0)


def _mean_areas(found: list[np.ndarray]) -> np.ndarray:
    """[(R,) of each class] -> (R,): the mean of those that are defined."""
    values = np.stack(found)
    defined = ~np.isnan(values)
    count = defined.sum(0)
    return np.divide(
        np.where(defined, values, 0).sum(0), count, out=np.full(values.shape[1], NAN), where=count > 0
    )


def pooled_f1(
    what: str, alike: str, rows: Callable[[Arrays, np.ndarray], np.ndarray]
) -> tuple[Metric, Metric, Metric]:
    """F1, precision and recall over all rows together. rows gives (n, 3): found rightly, answered, there."""

    def share(above: int, below: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
        def of_sums(sums: np.ndarray) -> np.ndarray:
            count = sums[:, below].sum(1)
            return np.divide(len(below) * sums[:, above], count, out=np.zeros(len(sums)), where=count > 0)

        return of_sums

    def metric(name: str, definition: str, below: tuple[int, ...]) -> Metric:
        of_sums = share(0, below)
        return Metric(
            name,
            definition,
            rows,
            lambda s: float(of_sums(s.sum(0)[None])[0]) if len(s) else NAN,
            sums=summed,
            of_sums=of_sums,
        )

    return (
        metric(
            "f1",
            f"Harmonic mean of precision and recall: a {what} counts as found where one {alike} is answered.",
            (1, 2),
        ),
        metric("precision", f"Share of the {what}s answered that are there, {alike}.", (1,)),
        metric("recall", f"Share of the {what}s there that are answered, {alike}.", (2,)),
    )


# --- one class of several: target (n,) class numbers, predicted {"probability": (n, K), "value": (n,)}
# -------------------------


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
    return _mean_ratio(hits, there)


def _f1_of_sums(sums: np.ndarray) -> np.ndarray:
    there, said, hits = np.split(sums, 3, 1)
    return _mean_ratio(2 * hits, there + said)


def _mean_ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """(R, K) over (R, K) -> (R,): the mean over the columns whose denominator is not 0."""
    share = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    count = (below > 0).sum(1)
    return np.divide(share.sum(1), count, out=np.full(len(above), NAN), where=count > 0)


def _scores(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return np.concatenate([target[:, None], predicted["probability"]], 1).astype(np.float64)


def _auc_binary(statistics: np.ndarray) -> float:
    known = statistics[statistics[:, 0] >= 0]
    return area(known[:, 0] == 1, known[:, 2])


def _auc_macro(statistics: np.ndarray) -> float:
    known = statistics[statistics[:, 0] >= 0]
    return _mean([area(known[:, 0] == k, known[:, k + 1]) for k in range(statistics.shape[1] - 1)])


def _auc_binary_weighted(statistics: np.ndarray, weight: np.ndarray) -> np.ndarray:
    known = statistics[:, 0] >= 0
    return areas(statistics[known, 0] == 1, statistics[known, 2], weight[:, known])


def _auc_macro_weighted(statistics: np.ndarray, weight: np.ndarray) -> np.ndarray:
    known = statistics[:, 0] >= 0
    statistics, weight = statistics[known], weight[:, known]
    return _mean_areas(
        [areas(statistics[:, 0] == k, statistics[:, k + 1], weight) for k in range(statistics.shape[1] - 1)]
    )


def _mean(values: list[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else NAN


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


# --- numbers: target (n,), predicted {"value": (n,)} ----------------------------------------------


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


# --- several labels at once: target (n, K) of 1, 0 and -1 (not known), predicted {"probability", "value": (n,
# K)} ---------------


def _label_scores(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    return np.concatenate([target, predicted["probability"]], 1).astype(np.float64)


def _auc_labels(statistics: np.ndarray) -> float:
    truth, score = np.split(statistics, 2, 1)
    return _mean([area(t[t >= 0] == 1, s[t >= 0]) for t, s in zip(truth.T, score.T, strict=True)])


def _auc_labels_weighted(statistics: np.ndarray, weight: np.ndarray) -> np.ndarray:
    truth, score = np.split(statistics, 2, 1)
    return _mean_areas(
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
    return _mean_ratio(2 * hits, both)


def _macro_of_sums(sums: np.ndarray) -> np.ndarray:
    hits, both = np.split(sums, 2, 1)
    return _mean_ratio(2 * hits, both)


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
