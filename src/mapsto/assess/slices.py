"""Every column as slice: how the net fares on each part of the data, and whether the worst part is worse than
chance would make it.

Parts are a type's own (a category's values, a number's quartiles, …), of every column, used by the net or
not, and whether a cell is missing. The metric is the room's first that is a mean over rows, so that parts of
any size compare. The worst of many parts looks bad by luck alone: its p-value is that of the largest
deviation of all parts under shuffled rows (Westfall & Young 1993, single step).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mapsto.assess.base import View, short
from mapsto.batch import key
from mapsto.blocks import Block, Section, Table
from mapsto.cells import Column, is_missing
from mapsto.data.unused import numbers_rows
from mapsto.errors import CellError
from mapsto.measure.intervals import ratio
from mapsto.metrics import Metric
from mapsto.registry import entry, names
from mapsto.types.base import DataType

TITLE = "Where in the data does it fare worse?"
FEWEST = 10  # rows of a part that can be the worst
FEWEST_GROUPS = 8  # below, signs can change in too few ways to tell chance
PRIVATE = 5  # parts of fewer rows are close to single rows: not shown where samples may not be
LEVEL = 0.05  # p-values up to this are beyond chance
SURELY_NOT = 0.9995  # p-values of this and above, which read 1.000: nobody looks for such a part
MOST_PARTS, SHOWN = 400, 60
SHUFFLES, FEWEST_SHUFFLES, WORK = (
    2_000,
    200,
    1e8,
)  # resamples, and memberships times resamples in all: about a second
SNIFFED = 500  # cells by which the type of a column that the net does not use is guessed


@dataclass(frozen=True)
class Part:
    """One slice: rows (n,) bool of `view.looked`."""

    column: str
    name: str
    rows: np.ndarray


def asks(view: View) -> bool:
    return any(view.output(slot).row_metric for slot in view.outputs())


def assess(view: View, seconds: float) -> Section:
    every = list(parts(view))[:MOST_PARTS]
    headlines, blocks, figures = [], [], {}
    for slot in view.outputs():
        metric = view.output(slot).row_metric
        if metric is not None:
            headline, found, figures[slot] = _of_output(view, slot, metric, _own_left_out(view, slot, every))
            headlines.append(view.titled(slot, headline))
            blocks += found
    chances = (part["p"] for one in figures.values() for part in one["parts"])
    sign = "look" if any(p is not None and p <= LEVEL for p in chances) else "good"
    return Section("slices", TITLE, " ".join(headlines), tuple(blocks), figures, sign)


# --- parts ----------------------------------------------------------------------------------------


def parts(view: View) -> list[Part]:
    """All parts of the rows `looked`, column by column: the net's inputs and outputs first, then what else
    the data holds."""
    slots = {
        slot.column: view.run.types[side, slot.name]
        for side in ("output", "input")
        for slot in getattr(view.run.signature, f"{side}s")
    }
    found: list[Part] = []
    for slot in view.run.signature.inputs:
        column_type = slots[slot.column]
        if slot.column not in view.cells or (
            column_type.layout.shape and not column_type.layout.ragged
        ):  # pictures need not be decoded again
            try:
                found += _of_values(slot.column, column_type, view.values(slot, view.looked, stored=True))
            except CellError:
                continue
    numbering = {name for name, cells in view.cells.items() if _only_numbers(view, name, cells)}
    found = [part for part in found if part.column not in numbering]
    done = {part.column for part in found} | numbering
    others = [name for name in view.cells if name not in done]
    columns = sorted(others, key=lambda name: name not in slots)
    return found + [
        part
        for name in columns
        for part in of_column(name, slots.get(name) or _guessed(name, view.cells[name]), view.cells[name])
    ]


def _only_numbers(view: View, name: str, cells: Sequence[Any]) -> bool:
    """Does a column say nothing but which row it is? A quarter of such rows is no part of the data."""
    return numbers_rows(Column(name, list(cells)), view.looked)


def of_column(column: str, column_type: DataType | None, cells: Sequence[Any]) -> list[Part]:
    """The parts of one column. Cells that cannot be read are in none but "known"."""
    found = _of_values(column, column_type, _read(column_type, cells)) if column_type is not None else []
    missing = np.array([_empty(cell) for cell in cells], bool)
    return [part for part in found if part.name not in ("missing", "known")] + _missing(column, missing)


def _of_values(column: str, column_type: DataType, values: Sequence[Any]) -> list[Part]:
    found = [
        Part(column, name, rows)
        for name, rows in column_type.slices(values).items()
        if 0 < rows.sum() < len(values)
    ]
    return found + _missing(column, np.array([value is None for value in values], bool))


def _missing(column: str, missing: np.ndarray) -> list[Part]:
    return (
        [Part(column, "missing", missing), Part(column, "known", ~missing)]
        if 0 < missing.sum() < len(missing)
        else []
    )


def _empty(cell: Any) -> bool:
    return bool(is_missing(cell)) if not isinstance(cell, np.ndarray) else not cell.size


def _guessed(column: str, cells: Sequence[Any]) -> DataType | None:
    """A room of the type that is surest of a column, fitted on its first cells; None when none is."""
    head = Column(column, list(cells[:SNIFFED]))
    if not head.known:
        return None
    sure = {name: entry("types", name).sniff(head) for name in names("types")}
    best = max(sure, key=lambda name: sure[name])
    if sure[best] <= 0:
        return None
    column_type = entry("types", best).with_options(best, {})
    return column_type.fit(
        _read(column_type, head.known), {"side": "input", "name": column, "rows": len(cells)}
    )


def _read(column_type: DataType, cells: Sequence[Any]) -> list[Any]:
    """Read values; cells that cannot be read as missing. A text that repeats is read once."""

    def value(cell: Any) -> Any:
        try:
            return None if _empty(cell) else column_type.read(cell)
        except CellError:
            return None

    texts = {cell: value(cell) for cell in {cell for cell in cells if type(cell) is str}}
    return [texts[cell] if type(cell) is str else value(cell) for cell in cells]


def _own_left_out(view: View, slot: str, every: Sequence[Part]) -> list[Part]:
    """Without the output itself: its classes are another question's, and that the largest numbers are missed
    by most is true of any net."""
    own = {one.column for one in view.run.signature.outputs if one.name == slot}
    return [part for part in every if part.column not in own]


# --- how they fare --------------------------------------------------------------------------------


def _of_output(
    view: View, slot: str, metric: Metric, every: Sequence[Part]
) -> tuple[str, list[Block], dict[str, Any]]:
    predicted, target, rows = view.of(slot)
    looked = np.isin(view.looked, rows) & np.isin(
        view.looked, view.fair
    )  # the worst rows were held for showing only
    at = np.searchsorted(rows, view.looked[looked])
    statistics = np.asarray(
        metric.rows({name: values[at] for name, values in predicted.items()}, target[at]), np.float64
    )
    known = ~np.isnan(statistics).any(1)
    statistics = statistics[known]
    groups = view.group_of(rows[at][known])
    members = [part.rows[looked][known] for part in every]
    own = {held.tobytes() for held in _classes_of(target[at][known], view.column_type(slot).classes)}
    first = {
        held.tobytes(): i
        for i, held in reversed(list(enumerate(members)))
        if held.any() and held.tobytes() not in own
    }  # equal ones once
    every, members = [every[i] for i in sorted(first.values())], [members[i] for i in sorted(first.values())]
    overall = metric.reduce(statistics)
    if not every:
        return (
            "no column divides the rows.",
            [],
            {"metric": metric.name, "value": overall, "n": len(statistics), "parts": []},
        )
    deviation, p = worst_of_many(
        _badness(statistics, metric), members, groups, key(view.seed, "slices", slot)
    )
    told = []
    for i in np.argsort(np.where(np.isnan(deviation), np.inf, -deviation), kind="stable")[:SHOWN]:
        held = members[i]
        low, high = ratio(statistics[held], None if groups is None else groups[held])
        numbers = {"low": low, "high": high, "z": float(deviation[i]), "p": float(p[i])}
        told.append(
            {
                "column": every[i].column,
                "part": every[i].name,
                "n": int(held.sum()),
                "value": metric.reduce(statistics[held]),
            }
            | {name: number if np.isfinite(number) else None for name, number in numbers.items()}
        )
    figures = {
        "metric": metric.name,
        "value": overall,
        "n": len(statistics),
        "parts": [one for one in told if one["n"] >= PRIVATE],
    }
    return (
        _headline(metric, overall, told, len(every)),
        _tables(view, slot, metric, told, overall, len(every)),
        figures,
    )


def _classes_of(target: np.ndarray, classes: Sequence[str]) -> Iterator[np.ndarray]:
    """(n,) bool of each class or label: a column that says the same under another name is no slice."""
    for k in range(len(classes)):
        yield target[:, k] == 1 if target.ndim == 2 else target == k


def _badness(statistics: np.ndarray, metric: Metric) -> np.ndarray:
    """(n,) per row, larger is worse, mean 0: for a ratio of sums a row's share of the numerator beyond its
    share of the denominator."""
    values = statistics[:, 0]
    if statistics.shape[1] == 2:
        values = (values - statistics[:, 1] * metric.reduce(statistics)) / max(
            float(statistics[:, 1].mean()), 1e-12
        )
    return (values - values.mean()) * (-1 if metric.higher_is_better else 1)


def worst_of_many(
    badness: np.ndarray, members: Sequence[np.ndarray], groups: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(how many standard errors each part is worse than the other rows, its p-value for being the worst of so
    many). badness (n,) has mean 0; members: (n,) bool a part; nan for parts of fewer than FEWEST rows inside
    or outside. Rows are shuffled; rows of one group may depend on each other, so with groups their deviations
    change signs together (wild cluster bootstrap, Cameron et al. 2008).
    """
    from scipy.sparse import csr_array

    inside = np.array([held.sum() for held in members], np.float64)
    n = len(badness)
    tested = np.flatnonzero((inside >= FEWEST) & (n - inside >= FEWEST))
    deviation, p = np.full((2, len(members)), np.nan)
    spread = float(badness.std())
    if not len(tested) or spread == 0 or (groups is not None and len(np.unique(groups)) < FEWEST_GROUPS):
        return deviation, p
    matrix = csr_array(np.stack([members[int(i)] for i in tested]).astype(np.float64))  # (P, n)
    inside = inside[tested]
    if groups is None:
        scale = (
            n / (inside * (n - inside)) / (spread * np.sqrt(1 / inside + 1 / (n - inside)))
        )  # of the sum inside, as the total is 0
    else:
        units = np.unique(groups, return_inverse=True)[1].reshape(-1)
        sums = csr_array(matrix @ csr_array((badness, (np.arange(n), units))))  # (P, U)
        scale = 1 / np.maximum(np.sqrt(np.asarray(sums.multiply(sums).sum(1)).reshape(-1)), 1e-12)
    observed = (matrix @ badness) * scale
    shuffles = int(np.clip(WORK / max(1, matrix.nnz), FEWEST_SHUFFLES, SHUFFLES))
    draw = np.random.default_rng(seed)
    largest = np.empty(shuffles)
    for low in range(0, shuffles, 50):
        count = min(50, shuffles - low)
        if groups is None:
            drawn = np.stack([badness[draw.permutation(n)] for _ in range(count)], 1)  # (n, 50)
        else:
            drawn = badness[:, None] * draw.choice((-1.0, 1.0), (units.max() + 1, count))[units]
        largest[low : low + count] = ((matrix @ drawn) * scale[:, None]).max(0)
    deviation[tested] = observed
    p[tested] = (1 + (largest[None] >= observed[:, None] - 1e-12).sum(1)) / (1 + shuffles)
    return deviation, p


def _headline(metric: Metric, overall: float, told: Sequence[Mapping[str, Any]], parts: int) -> str:
    worst = told[0]
    if worst["z"] is None:
        return (
            f"no part of {FEWEST} rows or more stands against {FEWEST} others, in enough groups: nothing can"
            " be said of slices."
        )
    value = f"{metric.name} {short(worst['value'])} against {short(overall)} over all, {worst['n']:,} rows"
    chance = (
        f"p {'<' if worst['p'] < 0.001 else '='} {max(worst['p'], 0.001):.3f} as the worst of {parts:,} parts"
    )
    if worst["p"] <= LEVEL:
        return (
            f"it fares worst where {worst['column']} is '{worst['part']}': {value}; more than chance explains"
            f" ({chance})."
        )
    return (
        f"no part is worse than chance explains; the lowest is {worst['column']} '{worst['part']}': {value}"
        f" ({chance})."
    )


def _tables(
    view: View, slot: str, metric: Metric, told: Sequence[Mapping[str, Any]], overall: float, parts: int
) -> list[Block]:
    """The parts from the worst; without those of so few rows that nothing is known of them, those that are as
    good as the others, and those that are nearly all rows."""
    definition = (
        f"{metric.name} of each part, from the worst; over all rows {short(overall)}. {metric.definition}"
    )
    definition += " p: how often the worst of all parts would be as bad with rows shuffled."
    told = [one for one in told if one["n"] >= PRIVATE and (one["p"] is None or one["p"] < SURELY_NOT)]
    tested = any(one["p"] is not None for one in told)
    those = [one for one in told if one["p"] is not None or one["n"] < FEWEST or not tested]
    definition += f" {len(those)} of {parts:,} parts." if parts > len(those) else ""
    if not those:
        return []
    marked = tuple(i for i, one in enumerate(those) if one["p"] is not None and one["p"] <= LEVEL)
    columns = ("column", "part", "rows", metric.name, "95%", "p")
    return [Table(columns, tuple(map(_row, those)), view.titled(slot, definition), marked)]


def _row(one: Mapping[str, Any]) -> tuple[Any, ...]:
    ends = f"{short(one['low'])} – {short(one['high'])}" if one["low"] is not None else "—"
    return one["column"], one["part"], one["n"], one["value"], ends, one["p"]
