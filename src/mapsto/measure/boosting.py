"""Gradient-boosted trees of scikit-learn, the usual answer of people who have a table, on features as
`measure.baseline` makes them.

Letters: n rows, F features, K columns of an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.sparse import issparse

from mapsto.measure.linear import Predictor, Values, masked_mean, weights_of

MOST_FEATURES, FILLED = 256, 0.05  # features that trees look at; of sparse ones those filled at least so much
DENSE = 0.3  # filled more than this, a sparse matrix's column is a cell of a table and no word of a text
WORK = 3e9  # nanoseconds of one core, see `_nanoseconds`
FEWEST_ROWS, FEWEST_ROUNDS, ROUNDS = 50, 20, 100
LEAVES, BINS, DEPTH = 31, 256, 5


def boosted(values: Values, wanted: np.ndarray, mask: np.ndarray, link: str) -> Predictor | None:
    """Features -> (n, K). None where trees are no usual answer (pictures and plain texts: too many features,
    none of them a cell's) or would take more than seconds."""
    rows, at = values.shape[0], _columns(values)
    if rows < FEWEST_ROWS or not len(at):
        return None
    rounds = int(
        min(ROUNDS, WORK / (_nanoseconds(rows, len(at)) * max(1, wanted.shape[1] - (link == "softmax"))))
    )
    if rounds < FEWEST_ROUNDS:
        return None
    return _with_columns(LEARNERS[link](_dense(values, at), wanted, mask, rounds), at)


def _nanoseconds(rows: int, features: int) -> float:
    """Of one tree: its histograms, and the splits that are looked for in them."""
    return features * (DEPTH * rows + 2.0 * LEAVES * BINS)


def _columns(values: Values) -> np.ndarray:
    """The features that trees look at; none where there is no table among them."""
    if not issparse(values):
        width = values.shape[1]
        return np.arange(width if width <= MOST_FEATURES else 0)
    filled = values.count_nonzero(axis=0) / values.shape[0]  # type: ignore[call-arg]
    if not (filled > DENSE).any():
        return np.arange(0)
    most = np.argsort(-filled, kind="stable")[:MOST_FEATURES]
    return np.sort(most[filled[most] >= FILLED])


def _dense(values: Values, at: np.ndarray) -> np.ndarray:
    return values[:, at].toarray() if issparse(values) else values[:, at]


def _with_columns(model: Predictor, at: np.ndarray) -> Predictor:
    return lambda asked: model(_dense(asked, at))


def _classifier(values: np.ndarray, wanted: np.ndarray, mask: np.ndarray, rounds: int) -> Predictor:
    from sklearn.ensemble import HistGradientBoostingClassifier

    seen = np.flatnonzero(wanted.any(0))
    if len(seen) < 2:
        return lambda asked: np.repeat(masked_mean(wanted, mask)[None], len(asked), 0)
    model = HistGradientBoostingClassifier(max_iter=rounds, random_state=0)
    model.fit(values, wanted.argmax(1), weights_of(mask))

    def predict(asked: np.ndarray) -> np.ndarray:
        probability = np.zeros((len(asked), wanted.shape[1]))  # 0 for classes not in the training rows
        probability[:, seen] = model.predict_proba(asked)
        return probability

    return predict


def _regressors(values: np.ndarray, wanted: np.ndarray, mask: np.ndarray, rounds: int) -> Predictor:
    from sklearn.ensemble import HistGradientBoostingRegressor

    models = [
        HistGradientBoostingRegressor(max_iter=rounds, random_state=0).fit(
            values[counts > 0], column[counts > 0], weights_of(counts[counts > 0])
        )
        for column, counts in zip(wanted.T, mask.T, strict=True)
    ]
    return lambda asked: np.stack([model.predict(asked) for model in models], 1)


def _labels(values: np.ndarray, wanted: np.ndarray, mask: np.ndarray, rounds: int) -> Predictor:
    """One classifier a label, each on the rows where the label is known."""
    models = []
    for column, counts in zip(wanted.T, mask.T, strict=True):
        known = counts > 0
        two = np.stack([1 - column[known], column[known]], 1)
        models.append(_classifier(values[known], two, counts[known, None], rounds) if known.any() else None)
    never = lambda asked: np.repeat([[1.0, 0.0]], len(asked), 0)  # noqa: E731
    return lambda asked: np.stack([(model or never)(asked)[:, 1] for model in models], 1)


LEARNERS: Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray, int], Any]] = {  # by `Output.link`
    "softmax": _classifier,
    "identity": _regressors,
    "logistic": _labels,
}
