"""Do sets and intervals hold the truth nine times in ten, and for whom? And how does the net fare on rows it
calls unsure?

Coverage is counted on rows that neither trained nor calibrated. The promise is over all rows together:
classes (or narrow and wide intervals) may fare differently, so each is counted on its own. From n validation
rows coverage itself comes out a little above or below: it is distributed as Beta(k, n + 1 - k), k the rank of
the threshold (Vovk 2012), of which the middle 95% is told. For several labels coverage is the share of a
row's true labels that its set holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

import numpy as np

from mapsto.assess.base import View
from mapsto.blocks import Block, Section, Table
from mapsto.measure.conformal import COVERAGE, found_of_labels, halfwidths
from mapsto.measure.intervals import ratio, wilson
from mapsto.measure.ood import FeatureHook
from mapsto.measure.row_errors import in_words, plain_metric
from mapsto.prediction import Predictions

TITLE = "Do its 90% sets and intervals hold what they promise?"
UNSURE = "Do rows lie far from those it learned from?"  # of runs without sets and intervals
SHOWN = 40  # classes of a table: those covered worst, where there are more
WIDTHS, WIDTH_ROWS = 5, 30  # parts by width of an interval; fewest rows of a part
LOOKED = 1_000  # rows looked at for being far from the training rows


def asks(view: View) -> bool:
    return bool(_known(view)) or view.run.novelty is not None


def assess(view: View, seconds: float) -> Section:
    headlines, blocks, figures = [], [], {}
    for slot in _known(view):
        headline, found, figures[slot] = KINDS[view.kind(slot)](view, slot)
        headlines.append(view.titled(slot, headline))
        blocks += found
    if view.run.novelty is not None:
        headline, found, figures["unsure"] = _unsure(view, seconds)
        headlines.append(headline)
        blocks += found
    return Section("sets", TITLE if _known(view) else UNSURE, " ".join(headlines), tuple(blocks), figures)


def _known(view: View) -> list[str]:
    """Outputs whose sets or intervals are known."""
    found = {slot: view.run.calibration.get(slot, {}) for slot in view.outputs(*KINDS)}
    return [
        slot
        for slot, known in found.items()
        if known.get("set") is not None or known.get("halfwidth") is not None
    ]


def _classes(view: View, slot: str) -> tuple[str, list[Block], dict[str, Any]]:
    predicted, target, rows = view.of(slot)
    inside = predicted["set"][np.arange(len(target)), target].astype(np.float64)
    size, right = predicted["set"].sum(1), predicted["value"] == target
    figures = _coverage(view, slot, inside[:, None], rows) | {
        "size": float(size.mean()),
        "empty": float((size == 0).mean()),
    }
    told = (
        f"the 90% sets hold the true class of {_told(view, figures)}; they name {figures['size']:.2f} classes"
        " in the mean"
    )
    if figures["empty"]:
        told += (
            f", and {figures['empty']:.1%} of them none ({right[size == 0].mean():.0%} of these rows are"
            " right)"
        )
    counts = [(str(k), size == k) for k in range(4)] + [("4 or more", size >= 4)]
    by_size = [
        (name, int(part.sum()), float(part.mean()), float(inside[part].mean()), float(right[part].mean()))
        for name, part in counts
        if part.any()
    ]
    columns = ("classes in the set", "rows", "share", "hold the truth", "likeliest class is right")
    blocks: list[Block] = [
        Table(
            columns,
            tuple(by_size),
            view.titled(slot, "sets by size. An empty set says that no class looks as a true one does."),
        )
    ]
    names = view.column_type(slot).classes
    blocks.append(
        _parts(
            view.titled(slot, "coverage class by class"),
            "class",
            [(names[k], inside[target == k]) for k in np.unique(target).tolist()],
        )
    )
    return told + ".", blocks, figures


def _labels(view: View, slot: str) -> tuple[str, list[Block], dict[str, Any]]:
    predicted, target, rows = view.of(slot)
    share = found_of_labels(predicted["set"], target)
    has = np.isfinite(share)
    if not has.any():
        return "no row has a label that a set could hold.", [], {}
    figures = _coverage(view, slot, share[has][:, None], rows[has]) | {
        "size": float(predicted["set"].sum(1).mean())
    }
    told = (
        f"the 90% sets hold {figures['coverage']:.1%} of a row's true labels ({figures['low']:.1%} –"
        f" {figures['high']:.1%})"
    )
    told += f" on {figures['n']:,} rows that have any, and {figures['size']:.1f} labels in the mean."
    parts = [
        (name, predicted["set"][target[:, k] == 1, k])
        for k, name in enumerate(view.column_type(slot).classes)
        if (target[:, k] == 1).any()
    ]
    return (
        told,
        [_parts(view.titled(slot, "share of the rows of each label whose set holds it"), "label", parts)],
        figures,
    )


def _numbers(view: View, slot: str) -> tuple[str, list[Block], dict[str, Any]]:
    predicted, target, rows = view.of(slot)
    half = halfwidths(predicted, view.run.calibration[slot])
    assert half is not None
    inside = (np.abs(predicted["value"].astype(np.float64) - target) <= half).astype(np.float64)
    figures = _coverage(view, slot, inside[:, None], rows) | {
        "width": float(2 * half.mean()),
        "least": float(2 * half.min()),
        "most": float(2 * half.max()),
    }
    told = (
        f"the 90% intervals hold the true number of {_told(view, figures)}; they are"
        f" {in_words(figures['width'])} wide"
    )
    if np.ptp(half) == 0:
        return f"{told}, all alike.", [], figures
    told += (
        f" in the mean, {in_words(figures['least'])} to {in_words(figures['most'])} as the row is easy or"
        " hard."
    )
    order = np.argsort(half, kind="stable")
    cut = np.array_split(order, min(WIDTHS, max(1, len(order) // WIDTH_ROWS)))
    parts = [
        (f"{in_words(float(2 * half[part[0]]))} to {in_words(float(2 * half[part[-1]]))}", inside[part])
        for part in cut
    ]
    return (
        told,
        [_parts(view.titled(slot, "coverage of narrow and wide intervals"), "width", parts, ordered=True)],
        figures,
    )


KINDS: Mapping[str, Callable[[View, str], tuple[str, list[Block], dict[str, Any]]]] = {
    "classes": _classes,
    "labels": _labels,
    "regression": _numbers,
}


def _coverage(view: View, slot: str, inside: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """coverage, low, high on so many rows; and what was to be expected from as many calibration rows."""
    from scipy.special import betaincinv

    low, high = ratio(inside, view.group_of(rows))
    learned = int(view.run.calibration[slot]["n"])
    rank = ceil((learned + 1) * COVERAGE - 1e-9)
    expected = betaincinv(
        rank, max(1, learned + 1 - rank), np.array([0.025, 0.975])
    )  # quantiles of a beta distribution
    return {
        "n": len(inside),
        "coverage": float(inside.mean()),
        **{name: None if np.isnan(end) else end for name, end in (("low", low), ("high", high))},
        "wanted": COVERAGE,
        "expected": [float(end) for end in expected],
        "calibration_rows": learned,
    }


def _told(view: View, figures: Mapping[str, Any]) -> str:
    between = f" ({figures['low']:.1%} – {figures['high']:.1%})" if figures["low"] is not None else ""
    low, high = figures["expected"]
    source = " on which they were learned: it flatters" if view.split == "validation" else ""
    return (
        f"{figures['coverage']:.1%} of {figures['n']:,} rows{source}{between}; "
        f"learned from {figures['calibration_rows']:,} rows, {low:.0%} to {high:.0%} was to be expected"
    )


def _parts(caption: str, what: str, parts: list[tuple[str, np.ndarray]], ordered: bool = False) -> Table:
    """Coverage of parts of the rows, worst first unless they have an order; those surely below the promise
    are set off."""
    found = []
    for name, inside in parts:
        share, low, high = (float(value) for value in wilson(inside.sum(), len(inside)))
        found.append((name, len(inside), share, f"{low:.3f} – {high:.3f}", high < COVERAGE))
    found = found if ordered else sorted(found, key=lambda row: row[2])[:SHOWN]
    caption += (
        ". The promise is made for all rows together; set off are parts that are covered less for sure."
    )
    marked = tuple(i for i, row in enumerate(found) if row[4])
    return Table((what, "rows", "covered", "95%"), tuple(row[:4] for row in found), caption, marked)


def _unsure(view: View, seconds: float) -> tuple[str, list[Block], dict[str, Any]]:
    """How many rows lie far from the training rows, and how the net fares on them."""
    looking = FeatureHook.at(view.learner.model, view.run.signature, view.run.types)
    assert looking is not None and view.run.novelty is not None
    rows, far = view.sample(max(50, min(LOOKED, view.rows_in(seconds))), "unsure"), []
    for piece in view.pieces(rows):
        batch = view.store.batch(piece)
        with looking.attached() as heard:
            view.learner.arrays(batch)
        far.append(view.run.novelty.distance(looking.score(batch, heard[0])) > 1)
    unsure = np.concatenate(far)
    share, low, high = (float(value) for value in wilson(unsure.sum(), len(unsure)))
    told = f"{share:.1%} of {len(rows):,} rows lie far from the training rows and are called unsure."
    at = np.searchsorted(view.held.rows, rows)
    table = [row for slot in view.outputs() if (row := _fares(view, slot, view.held, at, unsure))]
    caption = "how the net fares on rows that are far from the training rows and on the others"
    columns = ("output", "metric", "unsure rows", "on these", "on the others")
    figures = {"share": share, "low": low, "high": high, "n": len(rows)}
    return (
        told,
        (
            [Table(columns, tuple(table), caption[:1].upper() + caption[1:] + ".")]
            if table and unsure.any()
            else []
        ),
        figures,
    )


def _fares(
    view: View, slot: str, held: Predictions, at: np.ndarray, unsure: np.ndarray
) -> tuple[Any, ...] | None:
    """One output's plain metric on unsure rows and on the others; None where it has none."""
    metric = plain_metric(view.column_type(slot))
    if metric is None:
        return None
    statistics = metric.rows(
        {name: values[at] for name, values in held.predicted[slot].items()}, held.target[slot][at]
    )
    return (
        slot,
        metric.name,
        int(unsure.sum()),
        *(_number(metric.reduce(statistics[part])) for part in (unsure, ~unsure)),
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
