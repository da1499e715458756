"""How far stated confidence and the share of right answers agree, before and after calibration.

Classes: the most probable class's probability in 15 bins of equal width; ECE is the mean over rows of
|confidence - share right| of their bin (Guo et al. 2017). Labels: the probability of each label, all labels
together. ECE is biased upward on few rows, so the debiased estimate of Kumar, Liang & Ma (2019) stands beside
it with a bootstrap interval, and what a perfectly honest net would show. Numbers: how often the 90% interval
holds the truth, by predicted value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mapsto.assess.base import View
from mapsto.batch import key
from mapsto.blocks import Block, Line, Lines, Section, Table
from mapsto.measure import ece
from mapsto.measure.intervals import wilson
from mapsto.metrics import Arrays
from mapsto.outputs.base import COVERAGE, Output, in_words
from mapsto.prediction import Predictions

TITLE = "Can its probabilities and intervals be believed?"
RESAMPLES = 300
BEFORE, AFTER, ONCE = "as the net gives them", "calibrated", "calibrated fold by fold"
BIN_ROWS, BINS = 30, 8  # of a number's coverage by predicted value: fewest rows of a bin, most bins


def asks(view: View) -> bool:
    return bool(_outputs(view))


def assess(view: View, seconds: float) -> Section:
    headlines, blocks, figures = [], [], {}
    for slot in _outputs(view):
        answer = _probabilities if view.output(slot).confidence is not None else _intervals
        headline, found, figures[slot] = answer(view, slot)
        headlines.append(view.titled(slot, headline))
        blocks += found
    known = [one["after"]["low"] for one in figures.values() if "after" in one]
    sign = ("look" if max(known) > 0 else "good") if known else ""
    return Section("reliability", TITLE, " ".join(headlines), tuple(blocks), figures, sign)


def _outputs(view: View) -> list[str]:
    """Those that state a confidence, and those that have an interval."""
    return [
        slot
        for slot in view.outputs()
        if view.output(slot).confidence is not None or (view.output(slot).has_intervals and view.fitted(slot))
    ]


def _probabilities(view: View, slot: str) -> tuple[str, list[Block], dict[str, Any]]:
    found = {BEFORE: _confidence(view, view.raw, slot), AFTER: _confidence(view, view.held, slot)}
    if np.array_equal(found[BEFORE][0], found[AFTER][0]):  # there was nothing to calibrate
        del found[AFTER]
    measured = {name: _measured(view, slot, *confidence) for name, confidence in found.items()}
    last = measured[AFTER if AFTER in found else BEFORE]
    before = (
        f"{measured[BEFORE]['ece']:.3f} before calibration"
        if AFTER in found
        else ONCE
        if view.split == "folds"
        else "the net's own probabilities"
    )
    told = (
        f"stated confidence and the share of right answers lie {last['ece']:.3f} apart on average (ECE,"
        f" {before})."
    )
    told += f" A perfectly honest net would show {last['by_chance']:.3f} by chance on as many rows."
    names = {BEFORE: ONCE} if view.split == "folds" else {}
    lines = tuple(_curve(names.get(name, name), *confidence) for name, confidence in found.items())
    caption = (
        "share of right answers over stated confidence, in 15 bins of equal width; honest probabilities lie"
        " on the diagonal."
    )
    columns = ("probabilities", "ECE", "debiased", "95%", "by chance")
    rows = tuple(
        (name, one["ece"], one["debiased"], f"{one['low']:.3f} – {one['high']:.3f}", one["by_chance"])
        for name, one in measured.items()
    )
    definition = (
        "calibration error. ECE: the mean over rows of |confidence − share right| of their bin; debiased:"
        " less what chance adds to it (Kumar et al. 2019), with its interval by bootstrap; by chance: the ECE"
        " of a perfectly honest net on as many rows."
    )
    blocks = [
        Lines(lines, "stated confidence", "share right", view.titled(slot, caption), diagonal=True),
        Table(columns, rows, definition),
    ]
    known = {name: value for name, value in view.fitted(slot).items() if isinstance(value, (int, float))}
    return told, blocks, {"n": last["n"], "before": measured[BEFORE], "after": last, "calibration": known}


def _confidence(view: View, found: Predictions, slot: str) -> tuple[np.ndarray, np.ndarray]:
    """(probability, target) as `measure.ece` takes them: (n, K) and (n,) of classes, (m,) and (m,) of all
    labels together."""
    confidence = view.output(slot).confidence
    assert confidence is not None
    return confidence(found.predicted[slot], found.target[slot])


def _measured(view: View, slot: str, probability: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """ECE, debiased with its interval, by chance. The bootstrap's spread lies around the plain figure, of
    which each resample is a noisy copy, so it is turned around the debiased one (the basic bootstrap, Davison
    & Hinkley 1997)."""
    plain, less, chance = (figure(probability, target) for figure in (ece.ece, ece.debiased, ece.by_chance))
    rows = view.held.rows
    units = (
        np.arange(len(rows))
        if view.groups is None
        else np.unique(view.groups[rows], return_inverse=True)[1].reshape(-1)
    )
    where, right, confidence = _binned(probability, target)
    units = np.repeat(units, len(target) // max(1, len(rows)))  # of labels laid behind each other row by row
    known = where >= 0
    drawn = (
        _resampled(
            where[known], right[known], confidence[known], units[known], key(view.seed, "reliability", slot)
        )
        - plain
    )
    low, high = (max(0.0, less - float(q)) for q in np.quantile(drawn, (0.975, 0.025)))
    low = 0.0 if plain <= _honest(probability, target, key(view.seed, "honest", slot)) else min(low, less)
    return {
        "ece": plain,
        "debiased": less,
        "low": low,
        "high": max(high, less),
        "by_chance": chance,
        "n": int(known.sum()),
    }


def _honest(probability: np.ndarray, target: np.ndarray, seed: int) -> float:
    """The ECE that a perfectly honest net stays below in 95 of 100 draws of as many rows: up to it, nothing
    speaks against honesty, which the bootstrap alone finds in only 80 of 100."""
    found = ece.binned(probability, target)
    gaps = np.abs(np.random.default_rng(seed).normal(size=(2_000, len(found.count)))) * found.spread
    return float(np.quantile((gaps * found.count).sum(1) / max(1, found.count.sum()), 0.95))


def _binned(probability: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bin (-1 where nothing is known), right or not, and confidence of each row."""
    several = probability.ndim == 2
    confidence = (probability.max(1) if several else probability).astype(np.float64)
    right = (probability.argmax(1) == target if several else target > 0).astype(np.float64)
    where = np.clip(np.ceil(np.nan_to_num(confidence) * ece.BINS).astype(np.int64) - 1, 0, ece.BINS - 1)
    return np.where((target >= 0) & np.isfinite(confidence), where, -1), right, confidence


def _resampled(
    where: np.ndarray, right: np.ndarray, confidence: np.ndarray, units: np.ndarray, seed: int
) -> np.ndarray:
    """(R,) debiased ECE of resamples of whole units. Sums per unit and bin first, so that a resample is one
    product."""
    draw = np.random.default_rng(seed)
    units = np.unique(units, return_inverse=True)[
        1
    ]  # those of which nothing is known make no part of a resample
    units = (draw.permutation(int(units.max()) + 1) % 5_000)[
        units
    ]  # very many rows fall into blocks at random
    size = int(units.max()) + 1
    place = units * ece.BINS + where
    count, hits, sure = (
        np.bincount(place, value, size * ece.BINS).reshape(size, ece.BINS)
        for value in (np.ones(len(place)), right, confidence)
    )
    weights = draw.multinomial(size, np.full(size, 1 / size), RESAMPLES).astype(np.float64)  # (R, U)
    count, hits, sure = weights @ count, weights @ hits, weights @ sure  # (R, 15)
    share, mean = (
        np.divide(value, count, out=np.zeros_like(count), where=count > 0) for value in (hits, sure)
    )
    noise = np.sqrt(np.divide(share * (1 - share), count, out=np.zeros_like(count), where=count > 0))
    gap = mean - share
    folded = ece.folded(gap.ravel(), noise.ravel()).reshape(gap.shape)
    return np.maximum(0, ((2 * np.abs(gap) - folded) * count).sum(1) / count.sum(1))


def _curve(name: str, probability: np.ndarray, target: np.ndarray) -> Line:
    bins = ece.binned(probability, target)
    _, low, high = wilson(bins.right * bins.count, bins.count)
    return Line(
        name, *(tuple(part.tolist()) for part in (bins.confidence, bins.right, low, high)), points=True
    )


def _intervals(view: View, slot: str) -> tuple[str, list[Block], dict[str, Any]]:
    """How often a number's interval holds the truth, in bins of the predicted value of equally many rows."""
    predicted, target, _ = view.of(slot)
    known = view.fitted(slot)
    held = _inside(view.output(slot), predicted, target, known)
    if held is None:
        return "too few validation rows for an interval.", [], {}
    order = np.argsort(predicted["value"], kind="stable")
    bins = np.array_split(order, min(BINS, max(1, len(order) // BIN_ROWS)))
    share, low, high = wilson(
        np.array([held[part].sum() for part in bins]), np.array([len(part) for part in bins])
    )
    all_share, all_low, all_high = (float(part) for part in wilson(held.sum(), len(held)))
    wanted = known.get("coverage", COVERAGE)
    told = (
        f"the {wanted:.0%} interval holds {all_share:.1%} of {len(held):,} true values ({all_low:.1%} –"
        f" {all_high:.1%})"
    )
    off = [i for i in range(len(bins)) if not low[i] <= wanted <= high[i]]
    at = [float(np.median(predicted["value"][part])) for part in bins]
    if off and len(bins) > 1:
        worst = min(off, key=lambda i: share[i]) if min(share[i] for i in off) < wanted else off[0]
        told += f"; around {in_words(at[worst])} it holds {share[worst]:.0%}"
    line = Line(
        "holds the truth", tuple(at), *(tuple(part.tolist()) for part in (share, low, high)), points=True
    )
    goal = Line(f"promised: {wanted:.0%}", (at[0], at[-1]), (wanted, wanted))
    caption = (
        f"share of true values inside their interval over the predicted value, in {len(bins)} bins, with 95%"
        " intervals."
    )
    blocks: list[Block] = [Lines((line, goal), "predicted", "share inside", view.titled(slot, caption))]
    return (
        told + ".",
        blocks,
        {"n": len(held), "coverage": all_share, "low": all_low, "high": all_high, "wanted": wanted},
    )


def _inside(
    output: Output, predicted: Arrays, target: np.ndarray, known: Mapping[str, Any]
) -> np.ndarray | None:
    """(n,) bool: does each row's interval hold its true value; None where no interval is known."""
    half = output.interval(predicted, known)
    if half is None or not len(target):
        return None
    return (predicted["value"] - half <= target) & (target <= predicted["value"] + half)
