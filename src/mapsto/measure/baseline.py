"""What a net has to beat: the most frequent answer, a linear model, five neighbours, and of tables boosted
trees, on plain features.

Every answer is brought to one form, numbers `wanted` (n, K) with a mask of what is known
(`Output.as_numbers`): one-hot classes, one number, or labels. The trivial answer is then a masked mean of the
training rows, the neighbours' answer a masked mean of five of them, and only the linear model differs, by its
link (`Output.link`). `Output.from_numbers` turns such means back into the arrays that a head predicts. Where
rows have weights the mask holds these, 1 in the mean: how much each number counts.

Texts give tens of thousands of mostly empty features; these stay sparse and as they are (tf · idf of length
1).

The work is bounded by sizes, never by the clock; one core's worth of threads, because those of BLAS spin
against each other on a busy machine (20,000 x 256 pixels, 10 classes, 2 busy cores: 4.7 s with all threads,
0.18 s with one).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from mapsto.batch import Field, key
from mapsto.data.store import Store
from mapsto.measure.boosting import DENSE, boosted
from mapsto.measure.linear import LINES, Line, Predictor, Values, masked_mean, nearest, on_own_axes
from mapsto.measure.scores import Scores, score
from mapsto.models._lines import WIDE
from mapsto.models.base import Types
from mapsto.outputs.base import Output
from mapsto.prediction import any_known
from mapsto.signature import Signature

MOST_ROWS = 20_000
PIECE = 256  # rows whose pictures are held at once
MOST_FEATURES = WIDE  # above: hashed into as many
NEIGHBOURS = 5
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # per row, tried on at most CHOOSING rows
CHOOSING = 5_000
LINEAR_WORK, FEWEST_STEPS, MOST_STEPS = 8e9, 20, 200  # rows x features x columns x solver steps, about 5 s
NEAREST_WORK, NEAREST_FEWEST = (
    5e10,
    500,
)  # training rows x test rows x (features + 64), about 4 s; below 500 rows: left out

SPARSE_PENALTIES = (1e-6, 1e-5, 1e-4, 1e-3)
THIN = 0.1  # filled less than this, many features are kept as a sparse matrix
MOST_DEVIATIONS = 10.0  # of a plain number from its mean


@dataclass(frozen=True)
class Features:
    """Rows for a plain model. values (n, F): every input's plain features (`room.stem(None)`) side by side.
    target: what the output's room collates; present: bool, (n,) or the target's shape; groups (n,) for the
    intervals; weight (n,): how much each row counts where it is learned from."""

    values: Values
    target: np.ndarray
    present: np.ndarray
    groups: np.ndarray | None = None
    weight: np.ndarray | None = None

    def learned(self, output: Output, seed: int) -> tuple[Values, np.ndarray, np.ndarray] | None:
        """(values, wanted, mask) of at most MOST_ROWS rows that count and whose answer is known; None where
        there are none."""
        known = any_known(self.present)
        if self.weight is not None:
            known = known & (self.weight > 0)
        if not known.any():
            return None
        rows = np.flatnonzero(known)
        rows = rows[chosen(len(rows), MOST_ROWS, seed)]
        wanted, mask = output.as_numbers(self.target[rows], self.present[rows])  # (n, K)
        if self.weight is not None:
            mask = mask * (self.weight[rows] / self.weight[rows].mean())[:, None]
        return taken(self.values, rows), wanted, mask


def baselines(train: Features, test: Features, output: Output, seed: int = 0) -> dict[str, Scores]:
    """{"majority" or "mean", "linear", "nearest", "boosting": scores on the test rows}. {} where plain models
    learn no such answer or no training label is known; "nearest" is left out when the test rows are too many
    for it, "boosting" where `boosted` is none.
    """
    return {
        name: score(output.metrics, answer, test.target, test.present, test.groups)
        for name, answer in answers(train, test, output, seed).items()
    }


def answers(
    train: Features, test: Features, output: Output, seed: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """What `baselines` scores: {name: arrays as a head of the output predicts them}."""
    known = train.learned(output, seed) if output.link else None
    if known is None:
        return {}
    values, wanted, mask = known
    share = masked_mean(wanted, mask)  # (K,)
    asked = test.values.shape[0]
    found = {output.trivial: np.repeat(share[None], asked, 0)}
    if asked:
        learn, ask = comparable(values, test.values, seed)
        with threadpool_limits(1):
            found["linear"] = fitted_line(LINES[output.link], learn, wanted, mask, seed)(_scaled(learn, ask))
            near = _nearest(learn, wanted, mask, share, output.prior, ask, seed)
            trees = boosted(values, wanted, mask, output.link)
        if near is not None:
            found["nearest"] = near
        if trees is not None:
            found["boosting"] = trees(test.values)
    return {name: output.from_numbers(means) for name, means in found.items()}


@torch.no_grad()
def features_of(
    store: Store,
    rows: np.ndarray,
    groups: np.ndarray | None = None,
    most: int = MOST_ROWS,
    plain: Callable[[Mapping[str, Field]], Values] | None = None,
) -> dict[str, Features]:
    """Plain features and targets of rows by output: every input's `stem(None)` side by side, or what `plain`
    makes of inputs; above `most` rows a keyed sample. groups: of every row of the store."""
    plain = plain or Plain(store.signature, store.types)
    rows = rows[chosen(len(rows), most)]
    values: list[Values] = []
    known: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for low in range(0, len(rows), PIECE):
        batch = store.batch(rows[low : low + PIECE]).to("cpu")
        values.append(plain(batch.inputs))
        for name, target in batch.targets.items():
            if isinstance(target, torch.Tensor):  # sequences have baselines of their own (`Learner.baseline`)
                known.setdefault(name, []).append((target.numpy(), batch.present[name].numpy()))
    together = joined(values)
    of = None if groups is None else groups[rows]
    weight = None if store.weights is None else store.weights[rows].astype(np.float64)
    labels = {
        name: [np.concatenate(part) for part in zip(*found, strict=True)] for name, found in known.items()
    }
    return {
        name: Features(together, target, present, of, weight) for name, (target, present) in labels.items()
    }


class Plain:
    """Batches of inputs -> plain features (B, F), every input's (`room.stem(None)`) side by side."""

    def __init__(self, signature: Signature, types: Types):
        self.stems = {
            slot.name: (column_type := types["input", slot.name], column_type.stem(None).eval())
            for slot in signature.inputs
        }

    @torch.no_grad()
    def __call__(self, inputs: Mapping[str, Field]) -> Values:
        """An array, or csr_array where features are many and mostly 0."""
        from scipy.sparse import csr_array, hstack, issparse

        found = [column_type.plain(stem, inputs[name]) for name, (column_type, stem) in self.stems.items()]
        if not any(map(issparse, found)):
            return thin(np.concatenate(found, 1))
        wide: Any = found[0] if len(found) == 1 else csr_array(hstack([csr_array(part) for part in found]))
        return (
            wide
            if wide.shape[1] > MOST_FEATURES and wide.nnz < THIN * wide.shape[0] * wide.shape[1]
            else wide.toarray()
        )


def chosen(rows: int, most: int = MOST_ROWS, seed: int = 0) -> np.ndarray:
    """At most `most` of `rows` positions, in order: a keyed sample, the same on every machine."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(key(seed, "chosen rows", rows)).choice(rows, most, replace=False))


def thin(values: np.ndarray) -> Values:
    """(n, F) as it is, or sparse where features are many and mostly 0."""
    from scipy.sparse import csr_array

    wide = values.shape[1] > MOST_FEATURES and np.count_nonzero(values) < THIN * values.size
    return csr_array(values) if wide else values


def joined(parts: list[Values]) -> Values:
    """Pieces of rows behind each other; sparse when any piece is. The pieces are dropped on the way, so that
    there is one copy and no second."""
    from scipy.sparse import csr_array, issparse

    if not any(map(issparse, parts)):
        return np.concatenate(parts)
    sparse, shape = (
        [csr_array(part) for part in parts],
        (sum(part.shape[0] for part in parts), parts[0].shape[1]),
    )
    parts.clear()
    filled = np.concatenate([[0], *(np.diff(part.indptr) for part in sparse)]).cumsum(dtype=np.int64)
    index = sparse[0].indices.dtype if filled[-1] < np.iinfo(np.int32).max else np.int64
    data, indices = np.empty(filled[-1], sparse[0].dtype), np.empty(filled[-1], index)
    high = len(data)
    while sparse:  # the last first
        part = sparse.pop()
        data[high - part.nnz : high], indices[high - part.nnz : high] = part.data, part.indices
        high -= part.nnz
    return csr_array((data, indices, filled.astype(index)), shape=shape)


def taken(values: Values, rows: np.ndarray) -> Values:
    """Some rows, ascending; no copy where it is all."""
    return values if len(rows) == values.shape[0] else values[rows]


def comparable(learn: Values, ask: Values, seed: int) -> tuple[Values, Values]:
    """Sparse values as they are. Else finite float32, centred on the training rows; above MOST_FEATURES
    hashed with random signs, which keeps distances in expectation (Weinberger et al. 2009)."""
    from scipy.sparse import csr_array, issparse

    if issparse(learn) or issparse(ask):
        return csr_array(learn), csr_array(ask)
    learn, ask = (
        np.nan_to_num(values.astype(np.float32), copy=False, posinf=0.0, neginf=0.0)
        for values in (learn, ask)
    )
    if (mixed := hashing(learn.shape[1], seed)) is not None:
        learn, ask = (mixed @ learn.T).T, (mixed @ ask.T).T
    centre = learn.mean(0, dtype=np.float64).astype(np.float32)
    return learn - centre, ask - centre


def hashing(width: int, seed: int) -> Any:
    """(MOST_FEATURES, width) sparse, by which too many features become fewer; None where they are not."""
    from scipy.sparse import csr_array

    if width <= MOST_FEATURES:
        return None
    draw = np.random.default_rng(key(seed, "hashing", width))
    bucket, sign = (
        draw.integers(MOST_FEATURES, size=width),
        draw.choice(np.array([-1, 1], np.float32), width),
    )
    return csr_array((sign, (bucket, np.arange(width))), shape=(MOST_FEATURES, width))


def _scaled(learn: Values, values: Values) -> Values:
    """Unit variance on the training rows, cut at MOST_DEVIATIONS so that one outlier does not bend a line."""
    from scipy.sparse import csr_array, issparse

    scale = scale_of(learn)
    if issparse(learn):
        return csr_array((values.data * scale[values.indices], values.indices, values.indptr), values.shape)
    return np.clip(values * scale, -MOST_DEVIATIONS, MOST_DEVIATIONS)


def scale_of(learn: Values) -> np.ndarray:
    """(F,) float32: what brings the training rows to unit variance; constants become 0. Of sparse values only
    columns that are mostly filled are scaled."""
    from scipy.sparse import csr_array, issparse

    if issparse(learn):
        filled = learn.count_nonzero(axis=0) > DENSE * learn.shape[0]  # type: ignore[call-arg]
        square = np.asarray(
            csr_array((np.square(learn.data), learn.indices, learn.indptr), learn.shape).mean(0)
        ).reshape(-1)  # type: ignore[union-attr]
        return np.where(filled & (square > 0), 1 / np.sqrt(np.where(square > 0, square, 1)), 1.0).astype(
            np.float32
        )
    spread = learn.std(0, dtype=np.float64).astype(np.float32)  # (F,)
    return np.divide(
        1, spread, out=np.zeros_like(spread), where=spread > 1e-6 * max(float(spread.max(initial=0)), 1e-30)
    )


def fitted_line(
    line: Line,
    learn: Values,
    wanted: np.ndarray,
    mask: np.ndarray,
    seed: int,
    penalties: dict[int, float] | None = None,
) -> Predictor:
    """Scaled features -> (n, K): the linear model, its penalty chosen on held-out training rows
    by squared error (for probabilities the Brier score). penalties: what was chosen, {columns: penalty}, for
    others of nearly the same rows, too."""
    from scipy.sparse import issparse

    sparse = issparse(learn)
    size = max(learn.nnz // learn.shape[0] + 100 if sparse else learn.shape[1], 1) * wanted.shape[1]  # type: ignore[union-attr]
    rows = chosen(learn.shape[0], max(500, int(LINEAR_WORK / 2 / FEWEST_STEPS / size)), seed)
    values, wanted, mask = _scaled(learn, taken(learn, rows)), wanted[rows], mask[rows]
    tried = SPARSE_PENALTIES if sparse else PENALTIES
    few = np.random.default_rng(key(seed, "penalty", len(rows))).permutation(len(rows))[:CHOOSING]
    fit_rows, held = few[len(few) // 4 :], few[: len(few) // 4]
    steps = int(
        np.clip(LINEAR_WORK / size / (len(rows) + len(tried) * len(fit_rows)), FEWEST_STEPS, MOST_STEPS)
    )

    def error(penalty: float) -> float:
        predicted = line(fitted, wanted[fit_rows], mask[fit_rows], penalty, steps)(asked)
        return float((np.square(predicted - wanted[held]) * mask[held]).sum())

    known = {} if penalties is None else penalties
    if (penalty := known.get(wanted.shape[1])) is None:
        fitted, asked = on_own_axes(values[fit_rows], values[held])
        penalty = known[wanted.shape[1]] = min(tried, key=error) if len(held) >= 2 else tried[-1]
    return line(values, wanted, mask, penalty, steps)


def _nearest(
    learn: Values,
    wanted: np.ndarray,
    mask: np.ndarray,
    share: np.ndarray,
    prior: float,
    ask: Values,
    seed: int,
) -> np.ndarray | None:
    """The mean over five neighbours and `prior` times the trivial answer (n, K); None when too much work.

    Probabilities count the trivial answer as a sixth neighbour, so none is 0; numbers only where no neighbour
    is known.
    """
    from scipy.sparse import issparse

    width = learn.nnz // learn.shape[0] if issparse(learn) else learn.shape[1]  # type: ignore[union-attr]
    rows = chosen(learn.shape[0], int(NEAREST_WORK / ask.shape[0] / (width + 64)), seed)
    if len(rows) < min(learn.shape[0], NEAREST_FEWEST) or not learn.shape[1]:
        return None
    count = min(NEIGHBOURS, len(rows))
    near = nearest(taken(learn, rows), ask, count)  # (n, 5)
    wanted, mask = wanted[rows], mask[rows]
    total = sum((wanted[near[:, i]] * mask[near[:, i]] for i in range(count)), share * prior)  # (n, K)
    return total / sum((mask[near[:, i]] for i in range(count)), np.full(1, prior))
