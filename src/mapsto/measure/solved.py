"""The linear baseline as weights: what `measure.baseline` fits, told in terms of plain features, so that a
net can hold it.

Letters: n rows, F features, K columns of an answer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array, eye_array, issparse
from threadpoolctl import threadpool_limits

from mapsto.measure.baseline import (
    MOST_DEVIATIONS,
    Features,
    comparable,
    fitted_line,
    hashing,
    scale_of,
)
from mapsto.measure.linear import LINES, Predictor
from mapsto.outputs.base import Output

PIECE = 1024  # unit vectors asked at once
SMALL = (
    2.0**-10
)  # their length: a whole one may make a probability 1, which tells no more how large its logit is
TINY, NEVER = 1e-300, -60.0  # a probability, and a logit, that is as good as none


class Solved(NamedTuple):
    """min(max((x - centre) * scale, -most), most) @ weight + bias, of x (n, F): the logits (n, K) of classes
    or labels, or the number itself."""

    centre: np.ndarray
    scale: np.ndarray
    most: float
    weight: np.ndarray
    bias: np.ndarray


def solve(
    train: Features, output: Output, seed: int = 0, penalties: dict[int, float] | None = None
) -> Solved | None:
    """The linear model of `baseline.answers`; None where there is none. Where features are hashed, single
    ones are not cut at their deviations. penalties: as of `fitted_line`."""
    known = train.learned(output, seed) if output.link else None
    if known is None:
        return None
    values, wanted, mask = known
    learn, _ = comparable(values, values[:1], seed)
    with threadpool_limits(1):
        line = fitted_line(LINES[output.link], learn, wanted, mask, seed, penalties)
        weight, bias = _affine(line, learn.shape[1], output.link, issparse(learn))
    scale = scale_of(learn).astype(np.float64)
    if issparse(learn):
        return Solved(np.zeros(len(scale)), scale, np.inf, weight, bias)
    plain = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    if (mixed := hashing(plain.shape[1], seed)) is None:
        return Solved(plain.mean(0, dtype=np.float64), scale, MOST_DEVIATIONS, weight, bias)
    centre = (mixed @ plain.T).T.mean(0, dtype=np.float64)
    bias = bias - (centre * scale) @ weight
    whole = mixed.T @ (scale[:, None] * weight)
    return Solved(np.zeros(plain.shape[1]), np.ones(plain.shape[1]), np.inf, whole, bias)


def _affine(line: Predictor, width: int, link: str, sparse: bool) -> tuple[np.ndarray, np.ndarray]:
    """(width, K) and (K,) of a linear model, by what it says of nothing and of every feature alone."""
    units = csr_array(SMALL * eye_array(width))
    nothing = np.zeros((1, width))
    said = line(csr_array(nothing) if sparse else nothing)
    usual = int(said[0].argmax())
    first = _linear_in(said, link, usual)
    parts = [np.zeros((0, said.shape[1]))]
    for low in range(0, width, PIECE):
        some = units[low : low + PIECE]
        parts.append(_linear_in(line(some if sparse else some.toarray()), link, usual) - first)
    return np.concatenate(parts) / SMALL, first[0]


def _linear_in(said: np.ndarray, link: str, usual: int) -> np.ndarray:
    """(n, K): what is linear in the features, of what a line says. usual: the class whose logit is 0; one
    that no training row has is far below it everywhere."""
    said = said.astype(np.float64)  # TINY is none in 32 bits
    if link == "identity":
        return said
    if link == "logistic":
        return np.log(np.maximum(said, TINY)) - np.log(np.maximum(1 - said, TINY))
    logs = np.log(np.maximum(said, TINY)) - np.log(np.maximum(said[:, [usual]], TINY))
    return np.where(said > 0, logs, NEVER)
