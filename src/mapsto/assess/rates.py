"""How answers and their errors fall on the groups of columns with few values, used by the net or not.

Of two classes, one (`View.positive`) being positive: how often it is there and is said, how often it is said
wrongly of the others and is missed (Hardt, Price & Srebro 2016 ask that these two be alike). Of a number: the
mean truth and answer, and the mean of their difference. Shares have Wilson's interval, means Student's, over
whole groups of rows where rows come in groups.

A column stands the higher, the more surely its groups differ in what goes wrong: by a chi-square test of a
share, groups of less than one expected case left out (Cochran 1954), or an analysis of variance; of means of
units where rows come in groups. p is that times the tests made (Bonferroni).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapsto.assess.base import View, short
from mapsto.assess.slices import Part
from mapsto.blocks import Section, Table
from mapsto.cells import is_missing
from mapsto.measure.intervals import ratio

TITLE = "Do its answers and errors differ between groups?"
AFTER = "slices"
MOST, FEW, FEWEST = 20, 8, 10  # values of a column; groups that are shown; rows of a group
SHOWN = 5  # columns
SURE, EXPECTED = 0.05, 1  # p; cases of a group, beside which chance is known well enough


@dataclass(frozen=True)
class Rate:
    """Something that is a mean over some rows. value (n,), nan where a row does not count; fault: is it what
    goes wrong, so that groups should be alike in it?"""

    name: str
    value: np.ndarray
    fault: bool


def asks(view: View) -> bool:
    return bool(_outputs(view)) and bool(_columns(view, view.fair))


def assess(view: View, seconds: float) -> Section:
    headlines, blocks, figures = [], [], {}
    for slot in _outputs(view):
        rows = np.intersect1d(view.of(slot)[2], view.fair)
        rates = _rates(view, slot, rows)
        own = {one.column for one in view.run.signature.outputs if one.name == slot}
        columns = {name: found for name, found in _columns(view, rows).items() if name not in own}
        tests = max(1, len(columns) * sum(rate.fault for rate in rates))
        sure = {name: _differ(rates, found, tests, view.group_of(rows)) for name, found in columns.items()}
        order = sorted(columns, key=lambda name: sure[name][0])
        headlines.append(view.titled(slot, _headline(columns, order, sure, rates)))
        for name in order[:SHOWN]:
            table = _table(view, name, columns[name], rates, rows, sure[name])
            blocks += view.captioned(slot, [table])
        figures[slot] = {
            name: {"p": sure[name][0], "rate": sure[name][1], "groups": _figures(columns[name], rates)}
            for name in order
        }
    return Section("rates", TITLE, " ".join(headlines), tuple(blocks), figures)


def _outputs(view: View) -> list[str]:
    """Of one of two classes, and of a number."""
    return view.outputs(
        lambda output: (
            (output.exclusive and len(output.type.classes) == 2) or (output.graded and output.has_intervals)
        )
    )


def _rates(view: View, slot: str, rows: np.ndarray) -> list[Rate]:
    predicted, target, known = view.of(slot)
    at = np.searchsorted(known, rows)
    value, target = predicted["value"][at], target[at]
    if view.output(slot).graded:
        value, target = value.astype(np.float64), target.astype(np.float64)
        return [
            Rate("true", target, False),
            Rate("answer", value, False),
            Rate("answer − true", value - target, True),
        ]
    positive, _ = view.positive(slot)
    name = view.column_type(slot).classes[positive]
    true, said = target == positive, (value == positive).astype(np.float64)
    return [
        Rate(f"'{name}' is there", true.astype(np.float64), False),
        Rate("is said", said, False),
        Rate("said wrongly", np.where(true, np.nan, said), True),
        Rate("missed", np.where(true, 1 - said, np.nan), True),
    ]


def _columns(view: View, rows: np.ndarray) -> dict[str, list[Part]]:
    """{column: its groups} of columns with few values; each group as bools of `rows`. {} where the data has
    moved."""
    at = view.place(rows)
    found = {name: _groups(name, [cells[i] for i in at.tolist()]) for name, cells in view.cells.items()}
    return {name: groups for name, groups in found.items() if len(groups) > 1}


def _groups(column: str, cells: Sequence[Any]) -> list[Part]:
    """Rows of equal cells, in the order of numbers or else the largest first; [] of many values. Groups of
    few rows are left out."""
    plain = (str, int, float, bool, type(None))
    if not all(isinstance(cell, plain) for cell in cells):
        return []
    counts = Counter("missing" if is_missing(cell) else str(cell) for cell in cells)
    if len(counts) > MOST:
        return []
    names = np.array(["missing" if is_missing(cell) else str(cell) for cell in cells])
    often = [name for name, count in counts.most_common() if count >= FEWEST]
    order = sorted(often, key=float) if all(map(_is_number, often)) else often
    return [Part(column, name, names == name) for name in order[:FEW]]


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).lstrip("-").isdigit()


def _differ(
    rates: Sequence[Rate], groups: Sequence[Part], tests: int, units: np.ndarray | None
) -> tuple[float, str]:
    """(p, the rate) by which the groups differ most surely in what goes wrong. units: of each row, which
    depend on each other."""
    found = [(1.0, "")]
    for rate in (rate for rate in rates if rate.fault):
        known = ~np.isnan(rate.value)
        held = [_units(rate.value, part.rows & known, units) for part in groups]
        held = [values for values in held if len(values) >= FEWEST]
        if len(held) > 1:
            found.append((min(1.0, _by_chance(held) * tests), rate.name))
    return min(found)


def _units(values: np.ndarray, rows: np.ndarray, units: np.ndarray | None) -> np.ndarray:
    """The values of some rows, or their mean in each unit."""
    if units is None:
        return values[rows]
    _, place = np.unique(units[rows], return_inverse=True)
    return np.bincount(place, values[rows]) / np.maximum(np.bincount(place), 1)


def _by_chance(held: list[np.ndarray]) -> float:
    """How likely groups of one mean would differ as much."""
    from scipy.special import chdtrc, fdtrc

    every = np.concatenate(held)
    if not every.std() > 0:
        return 1.0
    if np.isin(every, (0, 1)).all():
        rarer = min(every.mean(), 1 - every.mean())
        held = [values for values in held if rarer * len(values) >= EXPECTED]
        every = np.concatenate(held) if len(held) > 1 else np.zeros(1)
        between = sum(len(values) * (values.mean() - every.mean()) ** 2 for values in held)
        return float(chdtrc(len(held) - 1, between / every.var())) if every.std() > 0 else 1.0
    between = sum(len(values) * (values.mean() - every.mean()) ** 2 for values in held)
    within = sum(float(np.square(values - values.mean()).sum()) for values in held)
    free = len(every) - len(held)
    return float(fdtrc(len(held) - 1, free, between / (len(held) - 1) / max(within / free, 1e-300)))


def _headline(
    columns: Mapping[str, Sequence[Part]],
    order: Sequence[str],
    sure: Mapping[str, tuple[float, str]],
    rates: Sequence[Rate],
) -> str:
    if not order:
        return "no column divides these rows into a few groups."
    name = order[0]
    p, what = sure[name]
    if p > SURE:
        return "by no column with few values do its errors differ beyond chance."
    rate = next(rate for rate in rates if rate.name == what)
    means = {part.name: float(np.nanmean(rate.value[part.rows])) for part in _enough(rate, columns[name])}
    low, high = min(means, key=lambda one: means[one]), max(means, key=lambda one: means[one])
    return (
        f"its errors differ most surely by '{name}': {what} {short(means[low])} where it is '{low}',"
        f" {short(means[high])} where it is '{high}' (p {'<' if p < 0.001 else '='} {max(p, 0.001):.3f})."
    )


def _enough(rate: Rate, groups: Sequence[Part]) -> list[Part]:
    return [part for part in groups if (~np.isnan(rate.value[part.rows])).sum() >= FEWEST]


def _table(
    view: View,
    column: str,
    groups: Sequence[Part],
    rates: Sequence[Rate],
    rows: np.ndarray,
    sure: tuple[float, str],
) -> Table:
    lines = []
    for part in groups:
        cells: list[Any] = [part.name, int(part.rows.sum())]
        for rate in rates:
            known = part.rows & ~np.isnan(rate.value)
            values = rate.value[known]
            low, high = ratio(values[:, None], view.group_of(rows[known])) if len(values) else (np.nan,) * 2
            cells.append(_between(values, low, high) if len(values) else None)
        lines.append(tuple(cells))
    told = f"p {'<' if sure[0] < 0.001 else '='} {max(sure[0], 0.001):.3f}"
    caption = f"by '{column}', with 95% intervals. That its groups fare alike in what goes wrong: {told}."
    return Table((column, "rows", *(rate.name for rate in rates)), tuple(lines), caption)


def _between(values: np.ndarray, low: float, high: float) -> str:
    """A mean with the ends of its 95% interval; of a share with two decimals."""
    share = bool(np.isin(values, (0, 1)).all())
    mean, *ends = (f"{end:.2f}" if share else short(end) for end in (float(values.mean()), low, high))
    return f"{mean} ({' – '.join(ends)})" if np.isfinite(low) else mean


def _figures(groups: Sequence[Part], rates: Sequence[Rate]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in groups:
        means = {rate.name: rate.value[part.rows] for rate in rates}
        found[part.name] = {"n": int(part.rows.sum())} | {
            name: float(np.nanmean(values)) if (~np.isnan(values)).any() else None
            for name, values in means.items()
        }
    return found
