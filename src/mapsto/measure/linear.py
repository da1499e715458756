"""Linear models and nearest neighbours of scikit-learn, on features as `measure.baseline` makes them.

Letters: n rows, F features, K classes or columns. A mask, (n, K) or (n, 1), says how much each number counts:
0 where it is not known, 1 or its row's weight where it is. The imports wait for the first use: they take most
of a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Values = Any  # (n, F): an array, or scipy's csr_array
Predictor = Callable[[Values], np.ndarray]  # (n, F) -> (n, K)
# features, wanted (n, K), mask, penalty, steps -> a linear model
Line = Callable[[Values, np.ndarray, np.ndarray, float, int], Predictor]

FEW_ROWS = 2_000  # whose products with each other take no time
MEMORY = 16  # MB of distances held at once


def logistic(
    values: Values, labels: np.ndarray, penalty: float, steps: int, weight: np.ndarray | None = None
) -> Predictor:
    """Multinomial logistic regression: values -> probabilities (n, K) of the sorted labels. labels (n,); the
    penalty times half the squared length of the slopes stands beside the mean loss; at most so many steps.
    weight (n,): how much each row counts.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    share = None if weight is None else weight / weight.mean()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the steps are bounded on purpose
        warnings.filterwarnings(
            "ignore", "The number of unique classes"
        )  # many classes are a case, not an accident
        model = LogisticRegression(C=1 / (values.shape[0] * penalty), max_iter=steps)
        if not _worth_rotating(values):
            return model.fit(values, labels, share).predict_proba
        rotated, back = _rotated(values)
        model.fit(rotated, labels, share)
    model.coef_ = back(model.coef_)
    vars(model)["n_features_in_"] = values.shape[1]
    return model.predict_proba


def on_own_axes(values: Values, others: Values) -> tuple[Values, Values]:
    """Rows (n, F) on which several penalised linear models are to be fitted, and others (m, F) that these are
    asked: where the former are few and of many features, both on the former's own axes (n or m, R), which are
    then found once; else as they are."""
    if not _worth_rotating(values):
        return values, others
    axes, roots = _own_axes(values)
    return axes * roots, _dense(others @ values.T) @ (axes / roots)


def _worth_rotating(values: Values) -> bool:
    return values.shape[0] <= FEW_ROWS and 2 * values.shape[0] <= values.shape[1]


def _rotated(values: Values) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Few rows of many features on their own axes (n, R), on which a penalised model is the same one and each
    step costs n / F of the work; and how its slopes (K, R) become those of the features (K, F)."""
    axes, roots = _own_axes(values)
    return axes * roots, lambda slopes: np.asarray((values.T @ (axes @ (slopes / roots).T)).T)


def _own_axes(values: Values) -> tuple[np.ndarray, np.ndarray]:
    """(n, R) and (R,): left singular vectors and singular values of (n, F), by the products of rows."""
    from scipy.linalg import eigh

    squares, axes = eigh(_dense(values @ values.T).astype(np.float64))
    kept = squares > 1e-10 * max(squares[-1], 1e-30)
    kept[-1] = True  # also where all rows are alike
    return axes[:, kept], np.sqrt(np.maximum(squares[kept], 1e-30))


def _dense(values: Values) -> np.ndarray:
    from scipy.sparse import issparse

    return values.toarray() if issparse(values) else np.asarray(values)


def ridge(values: Values, wanted: np.ndarray, penalty: float, weight: np.ndarray | None = None) -> Predictor:
    """Least squares with an intercept: values -> (n, K) float64. The penalty times the squared length of the
    slopes stands beside the mean squared error. weight (n,), 1 in the mean: how much each row counts."""
    from sklearn.linear_model import Ridge

    solver = "cholesky" if isinstance(values, np.ndarray) else "sparse_cg"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # columns that say the same are a case, not an accident
        model = Ridge(alpha=values.shape[0] * penalty, solver=solver).fit(values, wanted, weight)
    return lambda asked: model.predict(asked).reshape(asked.shape[0], -1).astype(np.float64)


def nearest(learn: Values, ask: Values, count: int) -> np.ndarray:
    """(n, count): for each row asked the positions of the nearest rows by Euclid's distance."""
    from sklearn import config_context
    from sklearn.neighbors import NearestNeighbors

    with config_context(working_memory=MEMORY):
        return (
            NearestNeighbors(n_neighbors=count, algorithm="brute")
            .fit(learn)
            .kneighbors(ask, return_distance=False)
        )


def masked_mean(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(K,) the mean of what is known; 0 where nothing is."""
    count = mask.sum(0)
    return np.where(count > 0, (values * mask).sum(0) / np.where(count > 0, count, 1), 0.0)


def weights_of(mask: np.ndarray) -> np.ndarray | None:
    """(n,) how much rows count, of a mask of one column; None where all count alike."""
    weight = mask.reshape(len(mask), -1)[:, 0]
    return None if (weight == 1).all() else weight


def softmax_line(
    values: Values, wanted: np.ndarray, mask: np.ndarray, penalty: float, steps: int
) -> Predictor:
    seen = np.flatnonzero(wanted.any(0))
    if len(seen) < 2 or not values.shape[1]:
        return _constant(masked_mean(wanted, mask))
    line = logistic(values, wanted.argmax(1), penalty, steps, weights_of(mask))

    def predict(asked: Values) -> np.ndarray:
        probability = np.zeros((asked.shape[0], wanted.shape[1]))  # 0 for classes not in the training rows
        probability[:, seen] = line(asked)
        return probability

    return predict


def _ridge_line(
    values: Values, wanted: np.ndarray, mask: np.ndarray, penalty: float, steps: int
) -> Predictor:
    if not values.shape[1]:
        return _constant(masked_mean(wanted, mask))
    centre, spread = wanted.mean(0), wanted.std(0)  # in units of its own: dates are large numbers
    line = ridge(values, (wanted - centre) / np.where(spread > 0, spread, 1), penalty, weights_of(mask))
    return lambda asked: line(asked) * spread + centre


def _label_lines(
    values: Values, wanted: np.ndarray, mask: np.ndarray, penalty: float, steps: int
) -> Predictor:
    """One logistic regression a label, each on the rows where the label is known."""
    lines = []
    for k in range(wanted.shape[1]):
        known = mask[:, k] > 0
        two = np.stack([1 - wanted[known, k], wanted[known, k]], 1)
        lines.append(
            softmax_line(values[known], two, mask[known, k : k + 1], penalty, steps)
            if known.any()
            else _constant(np.array([1, 0], np.float32))
        )
    return lambda asked: np.stack([line(asked)[:, 1] for line in lines], 1)


def _constant(means: np.ndarray) -> Predictor:
    return lambda asked: np.repeat(means[None], asked.shape[0], 0)


LINES: Mapping[str, Line] = {  # by `Output.link`
    "softmax": softmax_line,
    "identity": _ridge_line,
    "logistic": _label_lines,
}
