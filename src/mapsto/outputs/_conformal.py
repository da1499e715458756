"""Intervals and sets that hold the truth nine times in ten: split conformal prediction on validation rows
(Vovk et al. 2005).

What is promised is coverage over rows like the validation rows, all together; not in every group of them, and
nothing about rows of another kind (`measure.novelty` marks those).

Numbers. The half-width is the ceil((n+1) 0.9)-th smallest absolute residual (Lei et al. 2018). From 200 rows
on it may depend on the row: residuals are divided by a scale, exp of a line in the log of the members'
spread, the predicted value and its square, fitted by the likelihood of a Laplace distribution (5-fold, so
that a row's own residual never shapes its scale). It is kept where held-out intervals are narrower and their
interval score (Gneiting & Raftery 2007) is lower: on California housing 10% narrower, and between the fifths
of predicted values coverage then spreads over .87 to .92 in place of .76 to .99.

Classes. A set holds every class at least as probable as the 0.1 (n+1)-th smallest probability given to rows
of that class (LAC: Sadinle, Lei & Wasserman 2019): of all sets with that coverage these are the smallest.
Each class with 50 rows has a threshold of its own, the others share one (Vovk's Mondrian predictor): so the
promise holds for every such class and not only on average. One threshold for all makes smaller sets that
neglect whoever is rare or hard: on adult 1.07 in place of 1.14 classes, but coverage .69 and .96 of the two;
on Fashion-MNIST .95 in place of 1.02, and .67 to .98 of the ten. Where the net is right more often than nine
times in ten, coverage of .9 needs rows whose set lacks even the likeliest class. LAC leaves the least certain
rows empty, which says something: no class looks as a true one does. Adaptive sets (APS: Romano, Sesia &
Candès 2020) must be randomised to the same end and then leave rows empty by lot. Fashion-MNIST, .918 right,
one threshold: LAC names one class for 95% of rows and none for 5%, of which half are right; APS names one for
79%, several for 14%, none for 7%. Probabilities are compared to a millionth. Of ties at the threshold only
the due share is let in, by a hash of the row's probabilities: the same row always gets the same set.

Labels. A set holds every label at least as probable as a threshold under which, on average over rows that
have labels, nine in ten of a row's true labels are found (conformal risk control: Angelopoulos et al. 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor
from typing import Any

import numpy as np

from mapsto.metrics import Arrays
from mapsto.outputs.base import COVERAGE

FEWEST = ceil(
    COVERAGE / (1 - COVERAGE) - 1e-9
)  # 9: with fewer rows only an infinite interval, or a set of everything, covers
OF_CLASS = 50  # rows from which a class has a threshold of its own
SCALED_FROM = 200  # rows from which intervals may depend on the row
FOLDS = 5
RIDGE = 1e-3  # on the scale's slopes
RANGE = np.log(20.0)  # a scale is at most so much above or below its typical value
DIGITS = 6  # probabilities are told apart to so many decimal places


# --- numbers --------------------------------------------------------------------------------------


def interval(predicted: Arrays, target: np.ndarray) -> dict[str, Any]:
    """{"halfwidth", "coverage", "n"}, and "scale" where the width depends on the row; halfwidth None where n
    is below 9. value, target (n,)."""
    residual = np.abs(predicted["value"].reshape(-1).astype(np.float64) - target.reshape(-1))
    residual = np.where(np.isfinite(residual), residual, np.inf)
    half = _quantile(residual)
    record = {"halfwidth": half if np.isfinite(half) else None, "coverage": COVERAGE, "n": len(residual)}
    if len(residual) < SCALED_FROM or not np.isfinite(residual).all() or not half > 0:
        return record
    held, fold = np.empty(len(residual)), np.arange(len(residual)) % FOLDS
    for k in range(FOLDS):
        one = _scale({name: values[fold != k] for name, values in predicted.items()}, residual[fold != k])
        held[fold == k] = _scales({name: values[fold == k] for name, values in predicted.items()}, one)
    times = _quantile(residual / held)
    if held.mean() * times >= half or _interval_score(held * times, residual) >= _interval_score(
        np.full_like(held, half), residual
    ):
        return record
    scale = _scale(predicted, residual)
    typical = float(np.median(_scales(predicted, scale)))  # so that `halfwidth` is that of a typical row
    return {
        **record,
        "halfwidth": times * typical,
        "scale": {**scale, "weights": [scale["weights"][0] - float(np.log(typical)), *scale["weights"][1:]]},
    }


def halfwidths(predicted: Arrays, known: Mapping[str, Any]) -> np.ndarray | None:
    """(n,) half-widths of the intervals around `value`, from what `interval` found; None where nothing is
    known."""
    half, scale = known.get("halfwidth"), known.get("scale")
    if half is None:
        return None
    if not half >= 0:
        raise ValueError(f"halfwidth {half}")
    return half * (_scales(predicted, scale) if scale else np.ones(len(predicted["value"])))


def _quantile(scores: np.ndarray) -> float:
    """The ceil((n+1) 0.9)-th smallest: at or below it lies a new one with probability at least 0.9."""
    rank = ceil((len(scores) + 1) * COVERAGE - 1e-9)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else np.inf


def _interval_score(half: np.ndarray, residual: np.ndarray) -> float:
    return float((2 * half + 2 / (1 - COVERAGE) * np.maximum(0, residual - half)).mean())


def _scale(predicted: Arrays, residual: np.ndarray) -> dict[str, Any]:
    """Weights of the log of the expected absolute residual on `_columns`, and what these are centred by."""
    from scipy.optimize import minimize

    value = predicted["value"].astype(np.float64)
    spread = (
        np.log(np.maximum(predicted["spread"].astype(np.float64), 1e-300))
        if "spread" in predicted
        else np.zeros(1)
    )
    centre = {
        "value": float(value.mean()),
        "std": float(value.std()) or 1.0,
        "spread": float(np.median(spread)),
    }
    columns, start = _columns(predicted, centre), float(np.log(residual.mean()))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Negative log likelihood of Laplace(scale e^(Xw)), a row, and its gradient."""
        line = columns @ weights
        ratio = residual * np.exp(-line)
        slopes = np.r_[0, weights[1:]]
        return (
            float((line + ratio).mean() + RIDGE / 2 * (slopes**2).sum()),
            columns.T @ (1 - ratio) / len(line) + RIDGE * slopes,
        )

    found = minimize(
        loss,
        np.r_[start, np.zeros(3)],
        jac=True,
        method="L-BFGS-B",
        bounds=[(start - RANGE, start + RANGE), *[(-3, 3)] * 3],
    )
    return {"weights": [float(weight) for weight in found.x], **centre}


def _scales(predicted: Arrays, scale: Mapping[str, Any]) -> np.ndarray:
    """(n,): each row's scale."""
    weights = np.array(scale["weights"])
    return np.exp(np.clip(_columns(predicted, scale) @ weights, weights[0] - RANGE, weights[0] + RANGE))


def _columns(predicted: Arrays, centre: Mapping[str, float]) -> np.ndarray:
    """(n, 4): one, the log of the members' spread, the value and its square; in deviations, no further than
    3."""
    value = np.clip((predicted["value"].astype(np.float64) - centre["value"]) / centre["std"], -3, 3)
    spread = np.zeros_like(value)
    if "spread" in predicted:
        spread = np.clip(
            np.log(np.maximum(predicted["spread"].astype(np.float64), 1e-300)) - centre["spread"], -3, 3
        )
    return np.stack([np.ones_like(value), spread, value, value**2], 1)


# --- one class of several -------------------------------------------------------------------------


def class_set(probability: np.ndarray, target: np.ndarray) -> dict[str, list[float]] | None:
    """{"least", "share"}, a number for each class: it belongs to the set of a row when it is more probable
    than `least`, and in a `share` of rows when exactly as probable. probability (n, K), calibrated; target
    (n,) codes. None below 9 rows."""
    if len(target) < FEWEST:
        return None
    true = np.round(probability[np.arange(len(target)), target].astype(np.float64), DIGITS)
    count = np.bincount(target, minlength=probability.shape[1])
    rest = np.isin(target, np.flatnonzero(count < OF_CLASS))
    shared = _threshold(true[rest] if rest.sum() >= FEWEST else true)
    each = [_threshold(true[target == k]) if n >= OF_CLASS else shared for k, n in enumerate(count.tolist())]
    return {"least": [least for least, _ in each], "share": [share for _, share in each]}


def _threshold(true: np.ndarray) -> tuple[float, float]:
    """The 0.1 (n+1)-th smallest probability, between two of them in proportion; and the share let in of what
    is exactly as probable, as a randomised p-value has it (Vovk et al. 2005, section 2.2)."""
    ranked, allowed = np.sort(true), (1 - COVERAGE) * (len(true) + 1)
    low = max(1, floor(allowed + 1e-9))
    upper = ranked[min(low, len(ranked) - 1)]
    least = float(ranked[low - 1] + np.clip(allowed - low, 0, 1) * (upper - ranked[low - 1]))
    below, tied = int((ranked < least).sum()), int((ranked == least).sum())
    return least, float(np.clip(1 - (allowed - below) / (1 + tied), 0, 1)) if tied > 1 else 1.0


def in_class_set(probability: np.ndarray, found: Mapping[str, list[float]]) -> np.ndarray:
    """(n, K) bool: the classes in each row's set."""
    rounded, least = np.round(probability.astype(np.float64), DIGITS), np.array(found["least"])
    inside = rounded > least
    rows, classes = np.nonzero(rounded == least)
    inside[rows, classes] = _lot(probability[rows]) < np.array(found["share"])[classes]
    return inside


def _lot(rows: np.ndarray) -> np.ndarray:
    """(n, K) -> (n,) in [0, 1): a number that looks random and is a function of the row alone."""
    bits = np.ascontiguousarray(rows, np.float32).view(np.uint32).astype(np.uint64)
    odd = np.arange(1, 2 * bits.shape[1], 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (bits * odd).sum(1, dtype=np.uint64)
    for shift in (33, 29):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(0xFF51AFD7ED558CCD)
    return (mixed >> np.uint64(11)).astype(np.float64) / 2**53


# --- several labels at once -----------------------------------------------------------------------


def label_set(probability: np.ndarray, target: np.ndarray) -> dict[str, float] | None:
    """{"least"}: labels at least as probable belong to the set. probability, target (n, K), target 1, 0 or -1
    (not known). The largest threshold for which (the sum over rows of the share of true labels missed + 1) /
    (n + 1) is at most 0.1, over the n rows that have a true label. None below 9 such rows."""
    true = target == 1
    rows = true.any(1)
    if rows.sum() < FEWEST:
        return None
    true, rounded = true[rows], np.round(probability[rows].astype(np.float64), DIGITS)
    weight = np.broadcast_to(1 / true.sum(1, keepdims=True), true.shape)[
        true
    ]  # of each true label: its share of the row's
    order = np.argsort(rounded[true], kind="stable")
    ranked, missed = (
        rounded[true][order],
        np.cumsum(weight[order]),
    )  # missed when the threshold lies just above ranked[i]
    allowed = (1 - COVERAGE) * (len(true) + 1) - 1
    may_miss = int((missed <= allowed + 1e-9).sum())
    return {"least": float(ranked[may_miss])} if may_miss < len(ranked) else {"least": float(ranked[-1])}


def in_label_set(probability: np.ndarray, found: Mapping[str, float]) -> np.ndarray:
    """(n, K) bool: the labels in each row's set."""
    return np.round(probability.astype(np.float64), DIGITS) >= found["least"]


def found_of_labels(inside: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(n, K) -> (n,): the share of a row's true labels that stand in its set; nan where it has none."""
    true = target == 1
    count = true.sum(1)
    return np.divide((inside & true).sum(1), count, out=np.full(len(true), np.nan), where=count > 0)
