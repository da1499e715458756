"""Do sets and intervals hold the truth nine times in ten, and for whom? And how does the net fare on rows it
calls unsure?

Coverage is counted on rows that neither trained nor calibrated. The promise is over all rows together:
classes (or narrow and wide intervals) may fare differently, so each is counted on its own. From n validation
rows coverage itself comes out a little above or below: it is distributed as Beta(k, n + 1 - k), k the rank of
the threshold (Vovk 2012), of which the middle 95% is told. For several labels coverage is the share of a
row's true labels that its set holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np

from mapsto.assess.base import View
from mapsto.blocks import Block, Section, Table
from mapsto.measure.intervals import ratio, wilson
from mapsto.measure.ood import FeatureHook
from mapsto.outputs.base import COVERAGE, Groups
from mapsto.prediction import Predictions

TITLE = "Do its 90% sets and intervals hold what they promise?"
UNSURE = "Do rows lie far from those it learned from?"  # of runs without sets and intervals
SHOWN = 40  # classes of a table: those covered worst, where there are more
LOOKED = 1_000  # rows looked at for being far from the training rows


def asks(view: View) -> bool:
    return bool(_known(view)) or view.run.novelty is not None


def assess(view: View, seconds: float) -> Section:
    headlines, blocks, figures = [], [], {}
    for slot in _known(view):
        headline, found, figures[slot] = _covered(view, slot)
        headlines.append(view.titled(slot, headline))
        blocks += found
    if view.run.novelty is not None:
        headline, found, figures["unsure"] = _unsure(view, seconds)
        headlines.append(headline)
        blocks += found
    covered = [one for one in figures.values() if one.get("high") is not None and "wanted" in one]
    sign = ("look" if any(one["high"] < one["wanted"] for one in covered) else "good") if covered else ""
    title = TITLE if _known(view) else UNSURE
    return Section("sets", title, " ".join(headlines), tuple(blocks), figures, sign)


def _known(view: View) -> list[str]:
    """Outputs whose sets or intervals are known."""
    found = {slot: view.fitted(slot) for slot in view.outputs(lambda output: output.coverage is not None)}
    return [
        slot
        for slot, known in found.items()
        if known.get("set") is not None or known.get("halfwidth") is not None
    ]


def _covered(view: View, slot: str) -> tuple[str, list[Block], dict[str, Any]]:
    predicted, target, rows = view.of(slot)
    coverage = view.output(slot).coverage
    assert coverage is not None
    found = coverage(predicted, target, view.fitted(slot))
    known = np.isfinite(found.inside)
    if not known.any():
        return found.sentence, [], {}
    figures = {**_coverage(view, slot, found.inside[known][:, None], rows[known]), **found.figures}
    blocks = view.captioned(slot, found.blocks)
    if found.groups is not None:
        blocks += view.captioned(slot, [_parts(found.groups, figures["wanted"])])
    return found.sentence.format(told=_told(view, figures), **figures), blocks, figures


def _coverage(view: View, slot: str, inside: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """coverage, low, high on so many rows; and what was to be expected from as many calibration rows."""
    from scipy.special import betaincinv

    low, high = ratio(inside, view.group_of(rows))
    learned, wanted = int(view.fitted(slot)["n"]), view.fitted(slot).get("coverage", COVERAGE)
    rank = ceil((learned + 1) * wanted - 1e-9)
    expected = betaincinv(
        rank, max(1, learned + 1 - rank), np.array([0.025, 0.975])
    )  # quantiles of a beta distribution
    return {
        "n": len(inside),
        "coverage": float(inside.mean()),
        **{name: None if np.isnan(end) else end for name, end in (("low", low), ("high", high))},
        "wanted": wanted,
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


def _parts(groups: Groups, wanted: float) -> Table:
    """Coverage of parts of the rows, worst first unless they have an order; those surely below the promise
    are set off."""
    found = []
    for name, inside in groups.parts:
        share, low, high = (float(value) for value in wilson(inside.sum(), len(inside)))
        found.append((name, len(inside), share, f"{low:.3f} – {high:.3f}", high < wanted))
    found = found if groups.ordered else sorted(found, key=lambda row: row[2])[:SHOWN]
    caption = (
        f"{groups.caption}. The promise is made for all rows together; set off are parts that are covered"
        " less for sure."
    )
    marked = tuple(i for i, row in enumerate(found) if row[4])
    return Table((groups.what, "rows", "covered", "95%"), tuple(row[:4] for row in found), caption, marked)


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
    metric = view.output(slot).row_metric
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
