"""Which labels are likely wrong: confident learning (Northcutt, Jiang & Chuang 2021, "Confident Learning:
Estimating Uncertainty in Dataset Labels") on probabilities from models that did not see the row.

The models are cheap ones, fitted in five folds, so nothing is trained k times. Letters: n rows, F features, K
classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from mapsto.batch import key
from mapsto.measure.baseline import MOST_FEATURES
from mapsto.measure.linear import Values, on_own_axes, softmax_line

FOLDS = 5
SURE, SUREST = (
    0.5,
    0.9,
    # how much more probable another class must be than the given one: of models right in nine of ten rows,
    # and of
)
WEAKER = 2.0  # poor ones; how much more for each share of rows that a model is less right than that
NINE = 0.9
WIDE = 8192  # sparse features are folded into as many
STEPS = 60
PENALTIES, SPARSE_PENALTIES = (1.0, 0.1), (0.2, 0.05)  # over all rows, for features of length about 1


def out_of_fold(values: Values, target: np.ndarray, classes: int, seed: int = 0) -> np.ndarray:
    """(n, K): each row's probabilities by a linear model fitted on the four fifths of rows that it is not in.
    target: (n,) classes. The penalty is the one whose log loss on the first fold is least."""
    from scipy.sparse import issparse

    n = len(target)
    values = _even(values, seed)
    wanted = np.eye(classes, dtype=np.float32)[target]
    fold = np.random.default_rng(key(seed, "label folds", n)).permutation(n) % FOLDS

    def predicted(part: int, penalties: Sequence[float]) -> tuple[np.ndarray, list[np.ndarray]]:
        learn, ask = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
        fitted, asked = on_own_axes(values[learn], values[ask])
        mask = np.ones((len(learn), 1), np.float32)
        return ask, [softmax_line(fitted, wanted[learn], mask, one / n, STEPS)(asked) for one in penalties]

    found = np.zeros((n, classes))
    with threadpool_limits(1):
        penalties = SPARSE_PENALTIES if issparse(values) else PENALTIES
        ask, tried = predicted(0, penalties)
        losses = [_log_loss(probability, target[ask]) for probability in tried]
        best = int(np.argmin(losses))
        found[ask] = tried[best]
        for part in range(1, min(FOLDS, n)):
            ask, (found[ask],) = predicted(part, penalties[best : best + 1])
    return found


def _log_loss(probability: np.ndarray, target: np.ndarray) -> float:
    return (
        float(-np.log(np.maximum(probability[np.arange(len(target)), target], 1e-6)).mean())
        if len(target)
        else 0.0
    )


def _even(values: Values, seed: int) -> Values:
    """Dense features: unit variance, cut at 10 deviations, rows of length about 1; at most MOST_FEATURES of
    them, drawn by a key."""
    from scipy.sparse import csr_array

    if not isinstance(values, np.ndarray):
        found, size = values.tocoo(), np.shape(values)  # type: ignore[call-overload]
        if size[1] <= WIDE:
            return values
        return csr_array((found.data, (found.coords[0], found.coords[1] % WIDE)), shape=(size[0], WIDE))
    values = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    if values.shape[1] > MOST_FEATURES:
        values = values[
            :,
            np.sort(
                np.random.default_rng(key(seed, "label features")).permutation(values.shape[1])[
                    :MOST_FEATURES
                ]
            ),
        ]
    spread = values.std(0)
    scaled = np.clip((values - values.mean(0)) / np.where(spread > 1e-6, spread, np.inf), -10, 10)
    return scaled / np.float32(np.sqrt(max(1, (spread > 1e-6).sum())))


def margin(probability: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(n,): how much more probable the best other class is than the given one, -1 to 1."""
    rows = np.arange(len(target))
    others = probability.copy()
    others[rows, target] = -1
    return (
        others.max(1) - probability[rows, target] if probability.shape[1] > 1 else np.full(len(target), -1.0)
    )


def doubted(probability: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Positions of rows whose label is likely wrong, the likeliest first: another class is more probable by
    SURE, or by more where the models are often wrong themselves."""
    found = margin(probability, target)
    right = float((probability.argmax(1) == target).mean()) if len(target) else 0.0
    least = np.clip(SURE + WEAKER * (NINE - right), SURE, SUREST)
    order = np.argsort(-found, kind="stable")
    return order[found[order] >= least]


def joint(probability: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(K, K): the confident joint: rows of given class i that are, by at least the mean confidence of class j
    in its own rows, j."""
    classes = probability.shape[1]
    counts = np.bincount(target, minlength=classes)
    own = np.bincount(target, probability[np.arange(len(target)), target], minlength=classes)
    least = np.where(counts > 0, own / np.maximum(counts, 1), np.inf)
    sure = np.where(probability >= least, probability, -1)
    best = sure.argmax(1)
    found = np.zeros((classes, classes), np.int64)
    told = sure.max(1) >= 0
    np.add.at(found, (target[told], best[told]), 1)
    return found


def wrong_share(probability: np.ndarray, target: np.ndarray) -> float:
    """The share of labels that are wrong, estimated from the confident joint scaled to the classes'
    counts."""
    found = joint(probability, target).astype(np.float64)
    counts = np.bincount(target, minlength=len(found))
    scaled = found / np.maximum(found.sum(1, keepdims=True), 1) * counts[:, None]
    return float((scaled.sum() - np.trace(scaled)) / max(1.0, scaled.sum()))
