"""A look at data as a training would take it: a few rows at every stage, from the raw cell to the shapes a
net is given. Nothing is trained, nothing is written; of a large set, a sample is looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from mapsto import recipes
from mapsto.batch import Batch, Draw
from mapsto.cells import Column, is_missing, shorten
from mapsto.config import Settings
from mapsto.data.encode_chunk import encode_chunk, spots
from mapsto.data.open import open_source
from mapsto.data.resolve import as_asked
from mapsto.data.resolve import asked as asked_signature
from mapsto.data.scan import Scan
from mapsto.data.split import TRAIN, Split, split
from mapsto.data.store import collate, tensors
from mapsto.errors import CellError
from mapsto.learners import build as build_learner
from mapsto.look.sample import Sample, sample
from mapsto.look.shapes import SHOWN, augmented_views, changed, shape_text
from mapsto.models import build
from mapsto.models.base import Net
from mapsto.registry import entry, names
from mapsto.registry.trust import trust_asked
from mapsto.signature import Signature, Slot
from mapsto.source import Chunk
from mapsto.steps.prepare import step_timer
from mapsto.steps.rows import fit_types, scanned
from mapsto.training.machine import choose_device, machine_speed, text_speed
from mapsto.types.base import DataType

COLUMNS = 8  # inputs shown; the others are counted
LETTERS = 60  # of a cell


@dataclass(frozen=True)
class Cell:
    """One cell at each stage, in words. picture: a PNG of the read value, where it is something to look at;
    problem: why it cannot be read."""

    column: str
    raw: str
    read: str
    encoded: str
    picture: bytes | None = None
    problem: str = ""


@dataclass(frozen=True)
class Looked:
    """Everything that is shown. columns: {"side", "name", "column", "type", "why", "learned"} of every slot;
    rows: [(where, split, cells)]; batch: {slot: shape, type and range of a training batch}; augmented:
    {input: what augmentation changed}; views: {input: augmented pictures as arrays (H, W, C) of 0 to 1};
    stems: {input: what the net's body is given}; outputs: {output: the head's output}.
    """

    name: str
    rows_read: int
    more: bool
    sampled: int
    signature: str
    inputs: int
    said: tuple[str, ...]
    columns: tuple[Mapping[str, Any], ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]
    batch: Mapping[str, Mapping[str, str]]
    augmented: Mapping[str, str]
    views: Mapping[str, Sequence[np.ndarray]]
    model: str
    weights: int
    stems: Mapping[str, str]
    outputs: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Without pictures."""
        known = {
            spot.name: getattr(self, spot.name)
            for spot in dataclasses.fields(self)
            if spot.name not in ("views", "rows")
        }
        cells = [
            (
                where,
                part,
                [{name: value for name, value in vars(cell).items() if name != "picture"} for cell in row],
            )
            for where, part, row in self.rows
        ]
        return {
            **known,
            "rows": [{"where": where, "split": part, "cells": row} for where, part, row in cells],
        }


def look(data: Any, asked: str | None, settings: Settings) -> Looked:
    """Look at data. Raises MapstoError where a training would, for a signature, option or column that is not
    there."""
    trust_asked(settings.model, settings.learner)
    source = sample(as_asked(asked, open_source(data, settings.reading)))
    signature, said = asked_signature(asked, source, settings.reading)
    reading = settings.reading
    wanted = {slot.column for slot in signature.slots if slot.type}
    signature, found, left_out = scanned(source, signature, replace(reading, max_bad=1.0), asked=asked)
    parts = split(found, reading)
    types = fit_types(signature, found, parts, settings, None)
    choice = _choice(signature, types, settings, parts, source)
    types = {
        spot: _with_options(column_type, slot, choice, spot[0])
        for (spot, column_type), (_, slot) in zip(types.items(), spots(signature), strict=True)
    }
    chunk = next(iter(source.chunks(len(source.rows))))
    training = np.flatnonzero(parts.of == TRAIN)
    batch = _spread(training, choice.training.batch or 1)
    plain, drawn = (_batch(chunk, batch, signature, types, augmented) for augmented in (False, True))
    shown = Signature(signature.inputs[:COLUMNS], signature.outputs[:COLUMNS])
    stems, outputs, weights = _net(choice, signature, types, plain)
    inputs = [slot.name for slot in shown.inputs]
    answers = {slot.name for slot in shown.outputs}
    changes = {name: changed(plain.inputs[name], drawn.inputs[name]) for name in inputs}
    views = {name: augmented_views(drawn.inputs[name]) for name in inputs}
    of_types = [column_type.said(name) for (_, name), column_type in types.items()]
    return Looked(
        name=source.name,
        rows_read=source.total,
        more=source.more,
        sampled=len(source.rows),
        signature=str(signature),
        inputs=len(signature.inputs),
        said=(*source.said, *_bad(source), *said, *left_out, parts.said, *filter(None, of_types)),
        columns=tuple(
            _column(side, slot, types[side, slot.name], found, slot.column in wanted)
            for side, slot in spots(shown)
        ),
        rows=tuple(_row(chunk, i, shown, types, parts) for i in _spread(training, SHOWN)),
        batch=_shapes(shown, drawn),
        augmented={name: text for name, text in changes.items() if text},
        views={name: pictures for name, pictures in views.items() if pictures},
        model=str(choice),
        weights=weights,
        stems={name: text for name, text in stems.items() if name in inputs},
        outputs={name: text for name, text in outputs.items() if name in answers},
    )


# ---- what a training would decide ----


def _choice(
    signature: Signature,
    types: Mapping[tuple[str, str], DataType],
    settings: Settings,
    parts: Split,
    source: Sample,
) -> recipes.Choice:
    """What a training would choose, which times its step on as many rows as it takes, too."""
    chunk, known = next(iter(source.chunks(len(source.rows)))), np.flatnonzero(parts.of == TRAIN)

    def first(count: int) -> Batch:
        return _batch(chunk, np.resize(known, count).tolist(), signature, types, False)

    share = float((parts.of == TRAIN).mean())
    rows = max(1, round(share * source.total))
    held = [
        cell
        for chunk in source.chunks()
        for slot in signature.outputs
        for cell in chunk.columns[slot.column]
        if isinstance(cell, str)
    ]
    letters = int(sum(map(len, held)) / max(1, len(source.rows)) * rows)  # about as many as tokens
    device = choose_device(settings.training.device)
    facts = recipes.Facts(
        signature,
        types,
        rows,
        recipes.MINUTES,
        lambda: machine_speed(device),
        letters,
        text_flops=lambda: text_speed(device),
        step_seconds=step_timer(signature, dict(types), first, device) if settings.model is None else None,
    )
    return recipes.choose(facts, settings)


def _with_options(column_type: DataType, slot: Slot, choice: recipes.Choice, side: str) -> DataType:
    """The recipe's options where nobody asked otherwise. Whether mirroring is safe is found out by a
    training, so it is not shown."""
    options = choice.type_options.get(side, {}).get(slot.type, {})
    return replace(
        column_type, **{name: value for name, value in options.items() if slot.options.get(name) is None}
    )


def _batch(
    chunk: Chunk,
    rows: Sequence[int],
    signature: Signature,
    types: Mapping[tuple[str, str], DataType],
    augmented: bool,
) -> Batch:
    """Training rows as a batch. Cells that cannot be read are missing ones."""
    taken = Chunk(
        {name: [cells[i] for i in rows] for name, cells in chunk.columns.items()},
        [chunk.where[i] for i in rows],
        [None] * len(rows),
    )
    encoded, _ = encode_chunk(taken, signature, types)
    raw = {spot: tensors(value) for spot, value in encoded.items()}
    return collate(signature, types, raw, len(rows), None, None, Draw(0, 0, len(rows)) if augmented else None)


def _net(
    choice: recipes.Choice, signature: Signature, types: Mapping[tuple[str, str], DataType], batch: Batch
) -> tuple[dict[str, str], dict[str, str], int]:
    """({input: what its stem gives}, {output: what its head gives}, weights)."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = build(choice.model, signature, types, choice.model_options, choice.kinds).eval()
        stems = model.stems(batch.inputs) if isinstance(model, Net) else {}
        learner = build_learner(
            choice.learner,
            model,
            signature,
            types,
            None,
            choice.training,
            choice.learner_options,
            choice.kinds,
        )
        outputs = (
            learner.outputs(batch) if batch.inputs else {}
        )  # blocks of a text that is given nothing are made of many rows
    gives: Mapping[str, str] = getattr(model.stems, "gives", {}) if isinstance(model, Net) else {}
    named = {
        name: f"{gives.get(name, '')} {shape_text(value, False)}".strip() for name, value in stems.items()
    }
    return (
        named,
        {name: shape_text(value, False) for name, value in outputs.items()},
        sum(value.numel() for value in model.parameters()),
    )


# ---- in words ----


def _bad(source: Sample) -> list[str]:
    if not source.unread:
        return []
    return [
        f"rows or files left out: {source.unread:,}; the first: {source.bad[0].where}:"
        f" {' '.join(source.bad[0].why.split())}"
    ]


def _column(side: str, slot: Slot, column_type: DataType, found: Scan, asked: bool) -> dict[str, Any]:
    """Type, why, and what was learned of it."""
    column = found.column(slot.column)
    known = {
        "side": side,
        "name": slot.name,
        "column": slot.column,
        "type": slot.type,
        "missing": _missing(column),
    }
    return {**known, "why": "as asked" if asked else _why(column, side), "learned": _learned(column_type)}


def _why(column: Column, side: str) -> str:
    """How sure each type is that the column is its own, the surest first."""
    column_types = {name: entry("types", name) for name in names("types")}
    sure = {
        name: column_type.sniff(column)
        for name, column_type in column_types.items()
        if side == "input" or column_type.outputs
    }
    ranked = sorted(sure, key=lambda name: -sure[name])
    return ", ".join(f"{name} {sure[name]:.2f}" for name in ranked[:3] if sure[name] > 0)


def _missing(column: Column) -> str:
    return f"{np.mean([is_missing(cell) for cell in column.cells]):.0%}" if len(column.cells) else "—"


def _learned(column_type: DataType) -> str:
    """What `fit` found, in a line: numbers as they are, long tuples by their length and first entries."""
    parts = []
    for spot in dataclasses.fields(column_type):
        value = getattr(column_type, spot.name)
        if not spot.metadata.get("learned") or not value or (spot.name == "side" and isinstance(value, str)):
            continue
        if isinstance(value, tuple):
            first = ", ".join(
                f"{item:.3g}" if isinstance(item, float) else _cut(str(item), 20) for item in value[:3]
            )
            parts.append(
                f"{spot.name} ({first})" if len(value) <= 3 else f"{spot.name} {len(value)} ({first}, …)"
            )
        elif isinstance(value, float):
            parts.append(f"{spot.name} {value:.4g}")
        elif not isinstance(value, str) or len(value) <= LETTERS:
            parts.append(f"{spot.name} {value}")
    return ", ".join(parts)


def _row(
    chunk: Chunk, i: int, signature: Signature, types: Mapping[tuple[str, str], DataType], parts: Split
) -> tuple[str, str, tuple[Cell, ...]]:
    cells = tuple(
        _cell(slot.column, chunk.columns[slot.column][i], types[side, slot.name])
        for side, slot in spots(signature)
    )
    return str(chunk.where[i]), ("train", "validation", "test")[parts.of[i]], cells


def _cell(column: str, raw: Any, column_type: DataType) -> Cell:
    said = (
        _cut(shorten(raw, LETTERS)) if not isinstance(raw, np.ndarray) else f"{raw.dtype} array {raw.shape}"
    )
    try:
        value = column_type.read(raw)
        return Cell(
            column,
            said,
            _cut(column_type.show(value)),
            shape_text(column_type.encode(value)),
            column_type.picture(value),
        )
    except CellError as problem:
        return Cell(column, said, "", "", problem=_cut(str(problem).splitlines()[0], 100))


def _cut(text: str, most: int = LETTERS + 3) -> str:
    """On one line, not too long, and nothing in it that a terminal would obey."""
    text = "".join(letter if letter.isprintable() else "�" for letter in " ".join(text.split()))
    return text if len(text) <= most else text[: most - 1] + "…"


def _spread(rows: np.ndarray, most: int) -> list[int]:
    """First, last, and what lies evenly between."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, most).round().astype(int))].tolist()


def _shapes(signature: Signature, batch: Batch) -> dict[str, dict[str, str]]:
    """{side: {slot: its tensor in a batch, in words}}."""
    sides = _sides(signature, batch)
    return {
        side: {slot.name: shape_text(values[slot.name]) for slot in slots} for side, slots, values in sides
    }


def _sides(signature: Signature, batch: Batch) -> tuple[tuple[str, Sequence[Slot], Mapping[str, Any]], ...]:
    return ("inputs", signature.inputs, batch.inputs), ("targets", signature.outputs, batch.targets)


Look = Callable[[Any, str | None, Settings], Looked]
__all__ = ["Cell", "Looked", "look"]
