"""Columns that nothing is learned from, though '*' stands for them: what numbers or names the rows, and what
no type reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from mapsto.cells import Column
from mapsto.config import Reading
from mapsto.data.scan import Scan
from mapsto.registry import entry
from mapsto.signature import ALL, Signature, Slot, parse
from mapsto.types.number.numerals import Moment, values_of

LEAST = 20  # rows below which a column says little
ALL_DIFFER = 0.999  # share of rows that must differ: a few rows may stand twice
NAMES = 30  # texts that differ, of which nine in ten must, before they are names
TRIED, SURE = 500, 0.5  # cells read to see whether a type fits that is less sure than that
NAME = re.compile(
    r"(^|[^a-z])(id|ids|uid|uuid|guid|key|index|idx|no|nr|rowid|row|serial|record)([^a-z]|$)", re.IGNORECASE
)
CAMEL = re.compile(r"[a-z](Id|ID|Key|Index|No|Nr)$")  # PassengerId
NAMELESS = re.compile(
    r"|unnamed(: ?\d+)?|column_\d+", re.IGNORECASE
)  # of a frame's index, written without one
_WORDS = "year|quarter|season|month|week|day|date|hour|minute|second|time|age|period|epoch|step|tick|frame"
TIME = re.compile(rf"{_WORDS}|^t$", re.IGNORECASE)  # these count something
TIMED = re.compile(rf"(^|[^a-z])({_WORDS})", re.IGNORECASE)  # where such a word begins


def is_named_like_an_id(column: str) -> bool:
    return bool(NAME.search(column) or CAMEL.search(column))


def starred(asked: str | Signature | None, signature: Signature, reading: Reading) -> set[str]:
    """The input columns that '*' stands for: those that nobody has named."""
    if asked is None:
        return {slot.column for slot in signature.inputs} if reading.target else set()
    inputs = (parse(asked) if isinstance(asked, str) else asked).inputs
    if all(slot.name != ALL for slot in inputs):
        return set()
    return {slot.column for slot in signature.inputs} - {slot.column or slot.name for slot in inputs}


def divided(
    inputs: Sequence[Slot],
    sure: Mapping[str, Mapping[str, float]],
    scan: Scan,
    reading: Reading,
    star: Collection[str],
    kept: Collection[str],
) -> tuple[list[Slot], dict[str, str]]:
    """(The inputs that are used, {column: why not, and what uses it all the same} of the others). What
    numbers the rows is used where nothing else is left. sure: of each column, by type, how sure that is of
    it; star: columns that stand there by '*'; kept: those that are used whatever they hold."""
    left: dict[str, str] = {}
    for slot in inputs:
        column = scan.column(slot.column)
        if not slot.type and not column.known:
            left[slot.column] = "every cell is missing"
        elif not slot.type and slot.column not in kept:
            left[slot.column] = _why(column, sure[slot.column], reading, slot.column in star)
    left = {name: why for name, why in left.items() if why}
    numbering = [
        slot.column
        for slot in inputs
        if slot.column in star and slot.column not in left and slot.column != reading.time and not slot.type
        if numbers_rows(scan.column(slot.column), scan.sample_rows[slot.column])
    ]
    if len(left) + len(numbering) < len(inputs):
        left |= {name: f"it only numbers the rows; to use it: --keep {name}" for name in numbering}
    return [slot for slot in inputs if slot.column not in left], left


def _why(column: Column, sure: Mapping[str, float], reading: Reading, star: bool) -> str:
    """Why an input can hardly be learned from; "" where it can."""
    if _names_rows(column, sure):
        return f"a text that differs in nearly every row; to use it: {column.name}:text"
    best = max(sure, key=lambda name: sure[name])
    if star and (sure[best] <= 0 or (sure[best] < SURE and _misread(column, best) > reading.max_bad)):
        return f"{kinds(column)}, which no type reads"
    return ""


def kinds(column: Column) -> str:
    """What a column's cells are, for messages: 'cells of list and UUID'."""
    found = list(dict.fromkeys(type(cell).__name__ for cell in column.known[:TRIED]))
    return f"cells of {', '.join(found[:-1])}{' and ' if found[1:] else ''}{found[-1]}"


def _misread(column: Column, kind: str) -> float:
    """The share of cells that a type cannot read."""
    cells = column.known[:TRIED]
    return len(entry("types", kind)().read_all(cells)[1]) / max(1, len(cells))


def _names_rows(column: Column, sure: Mapping[str, float]) -> bool:
    """Text cells of which more than nine in ten differ and that no type wants but the one that takes any:
    names, ids and prose."""
    known = column.known
    if len(known) < NAMES or not entry("types", max(sure, key=lambda name: sure[name])).takes_any:
        return False
    return len(set(known)) > 0.9 * len(known) if all(isinstance(cell, str) for cell in known) else False


def numbers_rows(column: Column, rows: np.ndarray) -> bool:
    """Are its cells different whole numbers that say nothing but which row it is: called like an id, without
    a name as a frame's index is, or counting the rows one by one from 0 or 1?"""
    values = _whole(column.cells)
    timed = TIMED if is_named_like_an_id(column.name) else TIME
    if values is None or len(values) != len(rows) or timed.search(column.name):
        return False
    if len(np.unique(values)) < ALL_DIFFER * len(values):
        return False
    counting = bool((np.diff(values) == np.diff(rows)).all()) and values[0] - rows[0] in (0, 1)
    # as many numbers drawn from that range would meet ten times
    drawn_apart = np.ptp(values) < len(values) ** 2 / 20
    in_order = bool((np.diff(values) > 0).all())
    called = is_named_like_an_id(column.name) or NAMELESS.fullmatch(column.name) is not None
    return counting or (called and bool(drawn_apart or in_order))


def _whole(cells: Collection[Any]) -> np.ndarray | None:
    """Cells as whole numbers; None where there are few, or one is none, as durations are."""
    if any(isinstance(cell, timedelta) for cell in cells):
        return None
    found: Sequence[float | None] = values_of(list(cells)) if len(cells) >= LEAST else [None]
    if any(value is None or isinstance(value, Moment) for value in found):
        return None
    values = np.array(found, np.float64)
    return values if bool((values == np.rint(values)).all()) else None
