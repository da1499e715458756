"""Linear models and nearest neighbours of scikit-learn, on features as `measure.baseline` makes them.

Letters: n rows, F features, K classes or columns. The imports wait for the first use: they take most of a
second.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Values = Any  # (n, F): an array, or scipy's csr_array
Predictor = Callable[[Values], np.ndarray]  # (n, F) -> (n, K)

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


def ridge(values: Values, wanted: np.ndarray, penalty: float) -> Predictor:
    """Least squares with an intercept: values -> (n, K) float64. The penalty times the squared length of the
    slopes stands beside the mean squared error."""
    from sklearn.linear_model import Ridge

    solver = "cholesky" if isinstance(values, np.ndarray) else "sparse_cg"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # columns that say the same are a case, not an accident
        model = Ridge(alpha=values.shape[0] * penalty, solver=solver).fit(values, wanted)
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
