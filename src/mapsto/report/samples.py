"""A few rows of the data as what they are, and one of them for the lines that show how to use a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.batch import key
from mapsto.blocks import Gallery, Item, Section, Table
from mapsto.cells import is_missing, plain
from mapsto.data.encode_chunk import spots
from mapsto.data.store import Store
from mapsto.errors import CellError
from mapsto.files import write_atomic
from mapsto.run import Run
from mapsto.signature import Slot
from mapsto.source import Source

ROWS = 8
PICTURES = 12
AMONG = 20_000  # rows they are chosen from: the first of the training rows
MOST_LETTERS = 2_000  # of a cell that are kept
LONG = 60  # letters beyond which a cell is shown as a text
PLAIN = 240  # letters up to which a row may stand in a command

Rows = list[dict[str, Any]]


def samples(run: Run, store: Store, source: Source) -> tuple[Section, dict[str, Any]]:
    """(a private section with some training rows, the cells of one of them by column; pictures are written
    beside it)."""
    rows = _chosen(store, PICTURES)
    cells = _cells(run, source, rows)
    return Section("rows", "Some rows to learn from", "", (_shown(run, cells),) if cells else ()), _example(
        run, cells
    )


def _chosen(store: Store, most: int) -> list[int]:
    """Row numbers, as the lot gave them."""
    rows = np.sort(store.rows("train"))[:AMONG]
    return np.random.default_rng(key("samples", len(rows))).permutation(rows)[:most].tolist()


def _cells(run: Run, source: Source, rows: list[int]) -> Rows:
    """Raw cells of the rows by column: one pass, which ends at the last of them."""
    columns = {slot.column for _, slot in spots(run.signature)}
    found: dict[int, dict[str, Any]] = {}
    first = 0
    for chunk in source.chunks():
        found |= {
            row: {name: chunk.columns[name][row - first] for name in columns}
            for row in rows
            if first <= row < first + len(chunk)
        }
        first += len(chunk)
        if len(found) == len(rows):
            break
    return [found[row] for row in rows if row in found]


def _shown(run: Run, cells: Rows) -> Gallery | Table:
    """Pictures and long texts as a gallery, everything else as a table."""
    read = [
        [(side, slot, _value(run, side, slot, row)) for side, slot in spots(run.signature)] for row in cells
    ]
    pictures = [
        {slot.name: run.types[side, slot.name].picture(value) for side, slot, value in row} for row in read
    ]
    texts = [
        [(slot.name, run.types[side, slot.name].show(value)[:MOST_LETTERS]) for side, slot, value in row]
        for row in read
    ]
    whole = [_whole(run, row) for row in read]
    caption = "Training rows, taken by lot."
    tagged = {
        slot.name: run.types["output", slot.name].annotates(run.signature)
        for slot in run.signature.outputs
        if run.types["output", slot.name].marks_text
    }
    if (
        not tagged
        and not any(any(row.values()) for row in pictures)
        and all(len(said) <= LONG for row in texts[:ROWS] for _, said in row)
    ):
        learned = len(run.signature.outputs)  # what is learned stands first, where nobody has to scroll
        told = [row[-learned:] + row[:-learned] for row in texts[:ROWS]]
        names = tuple(name for name, _ in told[0])
        return Table(names, tuple(tuple(said for _, said in row) for row in told), caption, private=True)
    long = {name for row in texts for name, said in row if len(said) > LONG}
    items = []
    for drawn, told, parts in zip(pictures, texts, whole, strict=True):
        seen = [name for name, picture in drawn.items() if picture]
        said_there = [
            within for name, within in tagged.items() if name in parts
        ]  # words that stand there with their tags
        left = [(name, said) for name, said in told if name not in seen and name not in said_there]
        shown = tuple(
            (name, parts.get(name) or ((said, "", False),))
            for name, said in left
            if name in long or name in tagged
        )
        facts = tuple(f"{name}: {said}" for name, said in left if name not in dict(shown))
        shown = (
            shown if len(told) > 1 else tuple(("", parts) for _, parts in shown)
        )  # a name tells nothing where there is but one
        items.append(Item(picture=drawn[seen[0]] if seen else None, lines=facts[:12], texts=shown))
    return Gallery(tuple(items if any(any(row.values()) for row in pictures) else items[:ROWS]), caption)


def _whole(run: Run, row: Sequence[tuple[str, Slot, Any]]) -> dict[str, tuple[tuple[str, str, bool], ...]]:
    """Texts as they stand, line breaks and all, and words with their tags, by slot."""
    found, values = {}, {slot.name: value for side, slot, value in row if side == "input"}
    for side, slot, value in row:
        column_type = run.types[side, slot.name]
        if column_type.marks_text and value is not None and side == "output":
            text = values.get(column_type.annotates(run.signature))
            found[slot.name] = column_type.in_parts(text, value)
        elif column_type.prose and isinstance(value, str):
            found[slot.name] = (
                (value.strip()[:MOST_LETTERS] + "…" * (len(value.strip()) > MOST_LETTERS), "", False),
            )
    return found


def _value(run: Run, side: str, slot: Any, row: Mapping[str, Any]) -> Any:
    try:
        return run.types[side, slot.name].read(row[slot.column])
    except CellError:  # no training row, but one whose other label cannot be read
        return None


def _example(run: Run, cells: Rows) -> dict[str, Any]:
    """The inputs of the row that is shortest to write, as JSON. A picture becomes a file in the run: {"file":
    its name}."""
    columns = [slot.column for slot in run.signature.inputs]
    usable = [row for row in cells if all(_writable(row[name]) for name in columns)]
    if not usable:
        return {}
    row = min(
        usable,
        key=lambda row: (
            sum(is_missing(row[name]) for name in columns) > 0,
            sum(len(str(row[name])) for name in columns),
        ),
    )
    found: dict[str, Any] = {}
    for slot in run.signature.inputs:
        column_type = run.types["input", slot.name]
        png = column_type.picture(column_type.read(row[slot.column]))
        found[slot.column] = {"file": _kept(run.path, len(found), png)} if png else plain(row[slot.column])
    return found


def _kept(folder: Path, number: int, png: bytes) -> str:
    name = f"example-{number + 1}.png" if number else "example.png"
    write_atomic(folder / name, lambda path: path.write_bytes(png))
    return name


def _writable(cell: Any) -> bool:
    """Can it stand in a command? Pictures can, as files; texts when they are short and of letters that can be
    seen."""
    return not isinstance(cell, str) or (len(cell) <= PLAIN and cell.isprintable())
