"""What the world does to inputs, and what that does to the net: turned, dark and noisy pictures, typing
errors, missing cells.

Corruptions and their levels are those of the types (`DataType.corruptions`). One is applied at a time, to
every input that knows it at once, on the same rows at every level; level 0 are the rows as they are. After
Hendrycks & Dietterich 2019 (ImageNet-C), but over natural units rather than five severities.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapsto.assess.base import View, short
from mapsto.batch import Batch, key
from mapsto.blocks import Block, Line, Lines, Paragraph, Section, Table
from mapsto.errors import CellError
from mapsto.measure.baseline import chosen
from mapsto.measure.intervals import difference, ratio
from mapsto.metrics import Metric
from mapsto.prediction import Predictions
from mapsto.signature import Slot

TITLE = "What does it do when the world is not as in the data?"
NET = True
FEWEST, MOST, CELLS = 50, 400, 100_000  # rows a level; cells corrupted a level


@dataclass(frozen=True)
class TestPredictions:
    """One corruption at its levels, of one output: the metric's value and 95% interval at each, level 0
    first."""

    name: str
    levels: tuple[float, ...]
    value: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    harm: tuple[bool, ...]  # is it worse than on the clean rows beyond chance (paired)?


def asks(view: View) -> bool:
    known = any(view.run.types["input", slot.name].corruptions for slot in view.run.signature.inputs)
    return known and any(view.output(slot).row_metric for slot in view.outputs())


def assess(view: View, seconds: float) -> Section:
    known, refused = _corruptions(view)
    if not known:
        return Section(
            "robustness", TITLE, "It cannot be asked: the data has moved.", tuple(map(Paragraph, refused))
        )
    passes = sum(len(levels) for levels, _ in known.values()) + 1
    columns = max(len(slots) for _, slots in known.values())
    most = min(MOST, max(FEWEST, CELLS // columns), max(FEWEST, view.rows_in(seconds / 2) // passes))
    rows = view.fair[chosen(len(view.fair), most, key(view.seed, "robustness"))]
    if (lengths := view.store.lengths(rows)) is not None:
        rows = rows[np.argsort(lengths, kind="stable")]  # rows of like length side by side are padded less
    values = {
        slot.name: view.values(slot, rows, stored=True) for _, slots in known.values() for slot in slots
    }
    clean = view.predicted(view.store.batch(piece) for piece in view.pieces(rows))
    found = {
        name: [
            view.predicted(
                _batches(view, rows, name, level, {slot.name: values[slot.name] for slot in slots})
            )
            for level in levels
        ]
        for name, (levels, slots) in known.items()
    }
    headlines, blocks, figures = [], [], {}
    for slot in view.outputs():
        metric = view.output(slot).row_metric
        if metric is not None and clean.present[slot].any():
            tested = [_tested(view, slot, metric, name, known[name][0], clean, found[name]) for name in known]
            headlines.append(view.titled(slot, _headline(metric, tested)))
            blocks += _blocks(view, slot, metric, tested, len(rows))
            figures[slot] = {"metric": metric.name, "n": len(rows)} | {
                one.name: _figures(one) for one in tested
            }
    blocks += map(Paragraph, refused)
    return Section("robustness", TITLE, " ".join(headlines), tuple(blocks), figures)


def _corruptions(view: View) -> tuple[dict[str, tuple[tuple[float, ...], list[Slot]]], list[str]]:
    """({corruption: (levels, the inputs that know it)}, a sentence for each input whose values are not at
    hand)."""
    found: dict[str, tuple[tuple[float, ...], list[Slot]]] = {}
    refused = []
    for slot in view.run.signature.inputs:
        corruptions = view.run.types["input", slot.name].corruptions
        if not corruptions:
            continue
        try:
            view.values(slot, view.looked[:1], stored=True)
        except CellError as problem:
            refused.append(f"{slot.name}: {' '.join(str(problem).split())}")
            continue
        for name, levels in corruptions.items():
            found.setdefault(name, (levels, []))[1].append(slot)
    return found, refused


def _batches(
    view: View, rows: np.ndarray, name: str, level: float, values: Mapping[str, list[Any]]
) -> Iterator[Batch]:
    """The rows with every one of these inputs corrupted."""
    place = {int(row): i for i, row in enumerate(rows)}
    for piece in view.pieces(rows):
        changed = {}
        for slot, cells in values.items():
            draw = np.random.default_rng(key(view.seed, "robustness", name, level, slot, int(piece[0])))
            column_type = view.run.types["input", slot]
            changed[slot] = [column_type.corrupt(name, level, cells[place[int(row)]], draw) for row in piece]
        yield view.batch_of(piece, changed)


def _tested(
    view: View,
    slot: str,
    metric: Metric,
    name: str,
    levels: tuple[float, ...],
    clean: Predictions,
    found: list[Predictions],
) -> TestPredictions:
    groups = view.group_of(clean.rows)
    each = [
        np.asarray(metric.rows(one.predicted[slot], one.target[slot]), np.float64) for one in (clean, *found)
    ]
    known = ~np.isnan(each[0]).any(1)
    groups = None if groups is None else groups[known]
    values, lows, highs, harms = [], [], [], []
    for statistics in each:
        statistics = statistics[known]
        low, high = ratio(statistics, groups)
        _, down, up = difference(each[0][known], statistics, groups)
        values.append(metric.reduce(statistics))
        lows.append(low)
        highs.append(high)
        harms.append(bool(up < 0 if metric.higher_is_better else down > 0))
    return TestPredictions(name, (0.0, *levels), tuple(values), tuple(lows), tuple(highs), tuple(harms))


def _headline(metric: Metric, tested: list[TestPredictions]) -> str:
    def damage(one: TestPredictions) -> float:
        return (one.value[0] - one.value[-1]) * (1 if metric.higher_is_better else -1)

    worst = max(tested, key=damage)
    if not any(any(one.harm) for one in tested):
        return f"nothing tried hurts beyond chance ({metric.name} {short(worst.value[0])})."
    first = next(i for i, harm in enumerate(worst.harm) if harm) if any(worst.harm) else len(worst.levels) - 1
    change = f"{metric.name} goes from {short(worst.value[0])} to {short(worst.value[-1])}"
    change += f" at {worst.levels[-1]:g}"
    return f"{worst.name} hurts most: {change}, beyond chance from {worst.levels[first]:g} on."


def _blocks(view: View, slot: str, metric: Metric, tested: list[TestPredictions], n: int) -> list[Block]:
    strength = max(len(one.levels) for one in tested)
    lines = tuple(
        Line(one.name, tuple(range(len(one.levels))), one.value, one.low, one.high, points=True)
        for one in tested
    )
    caption = (
        f"{metric.name} over the strength of what is done to the inputs, 0: nothing; {n:,} rows, 95%"
        " intervals. Units stand in the table."
    )
    rows = tuple(
        (
            one.name,
            *(f"{level:g}: {short(at)}" for level, at in zip(one.levels[1:], one.value[1:], strict=True)),
            *("",) * (strength - len(one.levels)),
        )
        for one in tested
    )
    columns = ("what is done", *(f"strength {i}" for i in range(1, strength)))
    told = f"level and {metric.name}; {short(tested[0].value[0])} with nothing done."
    return [
        Lines(lines, "strength", metric.name, view.titled(slot, caption)),
        Table(columns, rows, view.titled(slot, told)),
    ]


def _figures(one: TestPredictions) -> dict[str, Any]:
    ends = {
        name: [end if np.isfinite(end) else None for end in getattr(one, name)] for name in ("low", "high")
    }
    return {"levels": list(one.levels), "value": list(one.value), **ends, "harm": list(one.harm)}
