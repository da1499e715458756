"""Linear models and nearest neighbours in closed form or few steps, on features as `measure.baseline` makes them.

The same models as scikit-learn's LogisticRegression, Ridge and NearestNeighbors find. Importing these took longer than fitting them (about
a second of processor in every training), and neighbours were searched in float64. Letters: n rows, F features, K classes or columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Values = Any  # (n, F): an array, or scipy's csr_array
Predictor = Callable[[Values], np.ndarray]  # (n, F) -> (n, K)

GRADIENT, LOSS = 1e-4, 1e-12  # the largest slope, and the least gain relative to the loss, at which a fit is done
CELLS, BLOCK = 1 << 21, 128  # distances held at once, and neighbours of which first only the nearest is looked at


def logistic(values: Values, wanted: np.ndarray, penalty: float, steps: int, weight: np.ndarray | None = None) -> Predictor:
    """Multinomial logistic regression: values -> probabilities (n, K). wanted (n, K) one-hot, every class in some row; the penalty times half
    the squared length of the slopes stands beside the mean loss; at most so many steps of L-BFGS. weight (n,): how much each row counts."""
    from scipy.optimize import minimize

    if not isinstance(values, np.ndarray) and len(used := np.unique(values.indices)) < values.shape[1]:  # the others' slopes are 0
        line = logistic(values[:, used], wanted, penalty, steps, weight)
        return lambda asked: line(asked[:, used])
    two = wanted.shape[1] == 2
    y = (wanted[:, 1:] if two else wanted).astype(np.float32)  # of two classes the second's log odds
    shape = (values.shape[1] + 1, y.shape[1])
    share = np.full((len(y), 1), 1 / len(y), np.float32) if weight is None else (weight / weight.sum()).astype(np.float32)[:, None]
    across = values.T.tocsr() if not isinstance(values, np.ndarray) else values.T

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        line = flat.reshape(shape)
        z = values @ line[:-1].astype(np.float32) + line[-1].astype(np.float32)
        if two:
            p, logs = 1 / (1 + np.exp(-z)), np.logaddexp(0, z)
        else:
            z -= z.max(1, keepdims=True)
            p = np.exp(z)
            total = p.sum(1, keepdims=True)
            p, logs = p / total, np.log(total)
        each = logs[:, 0] - (z * y).sum(1)
        slope = (p - y) * share
        grown = np.concatenate([across @ slope + penalty * line[:-1], slope.sum(0, dtype=np.float64)[None]])
        return float(each @ share[:, 0].astype(np.float64)) + penalty / 2 * float(np.square(line[:-1]).sum()), grown.reshape(-1).astype(np.float64)

    options = {"maxiter": steps, "gtol": GRADIENT, "ftol": LOSS}
    with np.errstate(over="ignore"):
        found = minimize(loss, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B", options=options).x.reshape(shape)
    return lambda asked: _probabilities(asked, found)


def _probabilities(asked: Values, line: np.ndarray) -> np.ndarray:
    z = (asked @ line[:-1].astype(np.float32)).astype(np.float64) + line[-1]
    if z.shape[1] == 1:
        z = np.concatenate([np.zeros_like(z), z], 1)
    p = np.exp(z - z.max(1, keepdims=True))
    return p / p.sum(1, keepdims=True)


def ridge(values: Values, wanted: np.ndarray, penalty: float) -> Predictor:
    """Least squares with an intercept: values -> (n, K) float64. The penalty times the squared length of the slopes stands beside the mean
    squared error. Dense: solved; sparse: by conjugate gradients."""
    n, middle = values.shape[0], np.asarray(values.mean(0), np.float64).reshape(-1)
    mean = wanted.mean(0)
    moved = (wanted - mean).astype(np.float64)  # whose products with the features' means are 0
    toward = np.asarray(values.T @ moved, np.float64)  # (F, K)
    if isinstance(values, np.ndarray):
        gram = (values.T @ values).astype(np.float64) - n * np.outer(middle, middle)
        gram[np.diag_indices_from(gram)] += n * penalty
        slopes = np.linalg.solve(gram, toward)
    else:
        slopes = _by_gradients(values, middle, n * penalty, toward)
    return lambda asked: np.asarray(asked @ slopes, np.float64) - middle @ slopes + mean


def _by_gradients(values: Values, middle: np.ndarray, penalty: float, toward: np.ndarray) -> np.ndarray:
    from scipy.sparse.linalg import LinearOperator, cg

    n, width = values.shape

    def product(w: np.ndarray) -> np.ndarray:
        return values.T @ (values @ w) - n * middle * (middle @ w) + penalty * w

    whole = LinearOperator((width, width), matvec=product, dtype=toward.dtype)  # type: ignore[call-arg]
    return np.stack([cg(whole, column, rtol=1e-4)[0] for column in toward.T], 1)


def nearest(learn: Values, ask: Values, count: int) -> np.ndarray:
    """(n, count): for each row asked the positions of the nearest rows by Euclid's distance, in no order."""
    dense = isinstance(learn, np.ndarray)
    length = np.square(learn).sum(1) if dense else np.asarray(learn.multiply(learn).sum(1)).reshape(-1)
    across = np.ascontiguousarray(learn.T) if dense else learn.T.tocsr()
    found = []
    size = max(1, CELLS // learn.shape[0])
    for low in range(0, ask.shape[0], size):
        product = ask[low : low + size] @ across
        found.append(_least(length - 2 * (product if dense else product.toarray()), count))  # squared distance, less what all share
    return np.concatenate(found)


def _least(values: np.ndarray, count: int) -> np.ndarray:
    """(n, m) -> (n, count): positions of the smallest of each row. What lies below the count-th smallest of the blocks' minima are few."""
    n, m = values.shape
    whole = m // BLOCK * BLOCK
    if whole // BLOCK < count:
        return np.argpartition(values, count - 1, axis=1)[:, :count]
    minima = values[:, :whole].reshape(n, -1, BLOCK).min(2)
    bound = np.partition(minima, count - 1, axis=1)[:, count - 1 : count]
    row, column = np.divmod(np.flatnonzero(values <= bound), m)
    order = np.lexsort((values[row, column], row))
    starts = np.searchsorted(row, np.arange(n))
    return column[order][starts[:, None] + np.arange(count)]
