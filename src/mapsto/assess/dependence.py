"""How the answer changes with a column: partial dependence (Friedman 2001). Each of some rows is given every
value of a grid in one column, everything else as it is; the curve is the mean answer, the band holds eight
in ten of the rows (their own curves: individual conditional expectation, Goldstein et al. 2015).

Cells that are missing are a place of their own, where the rows asked about have any. Dates stand in words.

A row may then be one that cannot be, as a house of two rooms and ten bedrooms: where columns go together, the
curve says what the net does, not what the world would. Columns of texts, pictures and sounds have no grid.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from mapsto.assess._answers import answers, followed, in_numbers, put_together
from mapsto.assess.base import View, short, taken
from mapsto.assess.explanation import FEWEST_ROWS, Dealing, searched
from mapsto.batch import key
from mapsto.blocks import Bars, Block, Line, Lines, Section
from mapsto.errors import CellError
from mapsto.measure.baseline import chosen
from mapsto.signature import Slot

TITLE = "How does its answer change with a column?"
AFTER = "explanation"
NET = True
COLUMNS, SHOWN = 16, 6  # that are tried, and those shown: the ones that move the answer most
PLACES = 9  # of a number's grid
VALUES = 12  # of a column of words, the most frequent
FEWEST, MOST = 20, 200  # rows
SHARE = 0.4  # of its seconds: a curve needs no more


@dataclass(frozen=True)
class Curve:
    """One column: its grid, numbers or words, the last None where cells may be missing; names: of its
    places, for people; numbers: how many lie on an axis of numbers, the first of them, 0 where all are words;
    mean, low and high (G, A) of the answers; moved (A,): by how much it moves a row's
    answer, in the mean over rows. The mean answer may stay where it is though every row's moves: where they
    go different ways."""

    column: str
    grid: tuple[Any, ...]
    names: tuple[str, ...]
    numbers: int
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    moved: np.ndarray


def asks(view: View) -> bool:
    return bool(_outputs(view)) and bool(_grids(view))


def assess(view: View, seconds: float) -> Section:
    grids = _chosen(view, _grids(view), seconds * SHARE / 2)
    outputs = _outputs(view)
    passes = sum(map(len, grids.values()))
    most = int(np.clip(view.rows_in(seconds * SHARE) // max(1, passes), FEWEST, MOST))
    rows = view.fair[chosen(len(view.fair), most, key(view.seed, "dependence"))]
    headlines, blocks, figures = [], [], {}
    every = [_curves(view, outputs, name, grid, rows) for name, grid in grids.items()]
    for slot in outputs:
        names = followed(view, slot)
        columns = list(names.values())
        curves = [found[slot] for found in every]
        moved = {curve.column: float(curve.moved[columns].max()) for curve in curves}
        order = sorted(curves, key=lambda curve: -moved[curve.column])[:SHOWN]
        headlines.append(view.titled(slot, _headline(view, slot, order[0], names)))
        for curve in order:
            blocks += view.captioned(slot, [_block(view, slot, curve, names, len(rows))])
        figures[slot] = {
            "rows": len(rows),
            "moved": moved,
            "curves": {
                curve.column: {
                    "grid": [_plain(value) for value in curve.grid],
                    **{name: curve.mean[:, k].tolist() for name, k in names.items()},
                }
                for curve in order
            },
        }
    return Section("dependence", TITLE, " ".join(headlines), tuple(blocks), figures)


def _outputs(view: View) -> list[str]:
    return view.outputs(in_numbers)


def _grids(view: View) -> dict[str, tuple[Any, ...]]:
    """{input: the values that are tried}, of inputs that have any."""
    found = {slot.name: _grid(view, slot) for slot in view.run.signature.inputs}
    return {name: grid for name, grid in found.items() if len(grid) > 1}


def _grid(view: View, slot: Slot) -> tuple[Any, ...]:
    """Numbers: quantiles of the rows' own, all where they are few; words: the most frequent, where they come
    again; then None, where several cells are missing. () where values are neither."""
    if view.run.types["input", slot.name].layout.shape:
        return ()  # neither a number nor a word, and slow to read
    try:
        cells = view.values(slot, view.fair[:2_000], stored=True)
    except CellError:
        return ()
    values = [value for value in cells if value is not None]
    places = _places(view, slot, values) if values else ()
    missing = len(cells) - len(values)
    return (*places, None) if len(places) > 1 and missing > 1 else places


def _places(view: View, slot: Slot, values: list[Any]) -> tuple[Any, ...]:
    """Of known values."""
    if all(isinstance(value, Real) and not isinstance(value, bool) for value in values):
        numbers = np.unique(np.array(values, np.float64))
        if len(numbers) > VALUES:
            places = np.linspace(0.02, 0.98, PLACES)
            numbers = _rounded(np.quantile(np.array(values, np.float64), places))
        ticks = view.run.types["input", slot.name].ticks(numbers)
        return tuple(numbers.tolist()) if ticks is None else tuple(place for place, _ in ticks)
    if not all(isinstance(value, (str, bool)) for value in values):
        return ()
    counts = Counter(values)
    often = [value for value, count in counts.most_common(VALUES) if count > 1]
    return tuple(often) if sum(counts[value] for value in often) > len(values) / 2 else ()


def _rounded(numbers: np.ndarray) -> np.ndarray:
    """Ascending numbers to a hundredth of what they span: round ones, and no row's own."""
    span = float(numbers[-1] - numbers[0])
    digits = 0 if not span > 0 else 2 - math.floor(math.log10(span))
    return np.unique(np.round(numbers, digits))


def _chosen(view: View, grids: dict[str, tuple[Any, ...]], seconds: float) -> dict[str, tuple[Any, ...]]:
    """At most COLUMNS of them; of more those that matter most when they are dealt anew, found by halving."""
    if len(grids) <= COLUMNS or not any(view.output(slot).row_metric for slot in view.outputs()):
        return dict(list(grids.items())[:COLUMNS])
    passes = max(2 * COLUMNS, int(seconds / view.seconds_of(FEWEST_ROWS)))
    names = searched(Dealing.of(view, FEWEST_ROWS), list(grids), passes)[:COLUMNS]
    return {name: grids[name] for name in names}


def _curves(
    view: View, outputs: Sequence[str], column: str, grid: tuple[Any, ...], rows: np.ndarray
) -> dict[str, Curve]:
    """Of each output, by one column."""
    batch, n, g = view.store.batch(rows), len(rows), len(grid)
    tried = view.batch_of(np.resize(rows, g), {column: grid}).inputs[column]
    names, numbers = _named(view, column, grid)
    each, value = np.tile(np.arange(n), g), np.repeat(np.arange(g), n)
    inputs = {name: taken(field, each) for name, field in batch.inputs.items() if name != column}
    inputs[column] = taken(tried, value)
    inputs = {name: inputs[name] for name in batch.inputs}
    found = answers(view, outputs, put_together(batch, n * g, inputs))
    each_of = {slot: values.reshape(g, n, -1) for slot, values in found.items()}  # (G, n, A)
    return {
        slot: Curve(
            column,
            grid,
            names,
            numbers,
            mean=values.mean(1),
            low=np.quantile(values, 0.1, axis=1),
            high=np.quantile(values, 0.9, axis=1),
            moved=np.ptp(values, axis=0).mean(0),
        )
        for slot, values in each_of.items()
    }


def _named(view: View, column: str, grid: tuple[Any, ...]) -> tuple[tuple[str, ...], int]:
    """(names of places, for people: numbers in short, dates as dates; how many lie on an axis of numbers)."""
    known = [value for value in grid if value is not None]
    real = all(isinstance(value, Real) and not isinstance(value, bool) for value in known)
    ticks = view.run.types["input", column].ticks(np.array(known)) if real else None
    said = [name for _, name in ticks] if ticks else [short(v) if real else str(v) for v in known]
    names = (*said, *(["missing"] * (len(grid) - len(known))))
    return names, len(known) if real and ticks is None else 0


def _headline(view: View, slot: str, curve: Curve, names: dict[str, int]) -> str:
    name = max(names, key=lambda name: curve.moved[names[name]])
    values = curve.mean[:, names[name]]
    lowest, highest = int(values.argmin()), int(values.argmax())
    what = f"'{name}' is said with" if view.output(slot).chances is not None else "the mean answer is"
    return (
        f"'{curve.column}' moves it most, by {short(float(curve.moved[names[name]]))} in the mean of rows:"
        f" {what} {short(values[lowest])} where it is {_word(curve, lowest)}, {short(values[highest])}"
        f" where it is {_word(curve, highest)}."
    )


def _block(view: View, slot: str, curve: Curve, names: dict[str, int], n: int) -> Block:
    what = slot
    if view.output(slot).chances is not None:
        what = f"probability of '{next(iter(names))}'" if len(names) == 1 else "probability"
    caption = (
        f"the mean answer of {n:,} rows by '{curve.column}', all else as it is; the band holds eight in ten"
        " of them."
    )
    if size := curve.numbers:
        at = slice(size)
        lines = tuple(
            Line(name, curve.grid[at], *_columns(curve, k, at), points=True) for name, k in names.items()
        )
        return Lines(lines, curve.column, what, caption + _of_missing(curve, names))
    caption = caption.replace("the band holds", "the whiskers hold")
    k = next(iter(names.values()))
    if len(names) > 1:  # bars are of one class: the one that moves most
        k = max(names.values(), key=lambda k: curve.moved[k])
        what = f"probability of '{next(name for name, at in names.items() if at == k)}'"
    mean, low, high = _columns(curve, k)
    return Bars(curve.names, mean, what, caption, low, high)


def _of_missing(curve: Curve, names: dict[str, int]) -> str:
    """Of the place that no axis of numbers has."""
    if curve.grid[-1] is not None:
        return ""
    several = len(names) > 1
    said = [f"{short(curve.mean[-1, k])}{f' of {name}' if several else ''}" for name, k in names.items()]
    return f" Where it is missing: {', '.join(said)}."


def _columns(curve: Curve, k: int, at: slice = slice(None)) -> Sequence[tuple[float, ...]]:
    return [tuple(part[at, k].tolist()) for part in (curve.mean, curve.low, curve.high)]


def _word(curve: Curve, place: int) -> str:
    plain = curve.grid[place] is None or not isinstance(curve.grid[place], str)
    return curve.names[place] if plain else f"'{curve.names[place]}'"


def _plain(value: Any) -> Any:
    if value is None:
        return None
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else str(value)
