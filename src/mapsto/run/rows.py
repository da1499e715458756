"""New rows on their way through a run, in three steps that may happen in three places: read (`read_rows`),
put through the net together with others' (`joined`), told in the data's own words (`decode_rows`)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mapsto.cells import shorten
from mapsto.models.base import Types
from mapsto.prediction import Answer, Prediction
from mapsto.signature import Signature, Slot
from mapsto.source import Chunk

Encoded = Mapping[tuple[str, str], Any]  # (side, slot): array (n, *shape), or a list of arrays when ragged


@dataclass(frozen=True)
class ReadRows:
    """Rows of a chunk, encoded. signature: with the chunk's columns; unread: {row: why it could not be
    read}."""

    chunk: Chunk
    signature: Signature
    encoded: Encoded
    unread: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.chunk)


def read_rows(types: Types, chunk: Chunk, signature: Signature) -> ReadRows:
    """A chunk's inputs, encoded; columns that it lacks count as missing cells."""
    from mapsto.data.encode import encode_chunk

    chunk = _completed(chunk, signature)
    encoded, problems = encode_chunk(chunk, Signature(signature.inputs, ()), types)
    unread = {problem["row"]: f"{problem['column']}: {problem['why']}" for problem in problems}
    return ReadRows(chunk, signature, encoded, unread)


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Encoded rows of the same slots behind each other."""
    if len(parts) == 1:
        return parts[0]
    return {
        spot: [cell for part in parts for cell in part[spot]]
        if isinstance(first, list)
        else np.concatenate([part[spot] for part in parts])
        for spot, first in parts[0].items()
    }


def decode_rows(
    run: Any, read: ReadRows, found: Mapping[str, Sequence[Prediction]], kept: Sequence[str] = ()
) -> list[Answer]:
    """An answer to each row, from its predictions by output. kept: columns that go with the answers."""
    chunk, unread = read.chunk, read.unread
    found = locate_cells(read.signature, run.signature.outputs, run.types, chunk, found, unread)
    notes = _notes(run.types, read.signature, chunk, read.encoded)
    return [
        Answer(
            chunk.where[i],
            {} if i in unread else {slot: values[i] for slot, values in found.items()},
            unread.get(i, "") or _no_number(found, i),
            notes.get(i, ""),
            {name: chunk.columns[name][i] for name in kept},
        )
        for i in range(len(chunk))
    ]


def locate_cells(
    signature: Signature,
    outputs: Sequence[Slot],
    types: Types,
    chunk: Chunk,
    found: Mapping[str, Sequence[Any]],
    unread: Collection[int],
) -> dict[str, Sequence[Any]]:
    """Predictions of a chunk's rows in words, where outputs speak of places in an input; unread: rows that
    could not be read."""
    told = dict(found)
    for column_type, name in (
        (types["output", slot.name], slot.name) for slot in outputs if slot.name in found
    ):
        within = column_type.annotates(signature)
        if within is not None:
            cells = zip(found[name], chunk.columns[signature.column_of(within)], strict=True)
            told[name] = [
                one if i in unread else column_type.located(one, cell) for i, (one, cell) in enumerate(cells)
            ]
    return told


def _no_number(found: Mapping[str, Sequence[Prediction]], row: int) -> str:
    """What is wrong with an answer that is no number."""
    values = {slot: made[row].value for slot, made in found.items()}
    lost = [slot for slot, value in values.items() if isinstance(value, float) and math.isnan(value)]
    return f"the net's answer for '{lost[0]}' is no number" if lost else ""


def _completed(chunk: Chunk, signature: Signature) -> Chunk:
    """The chunk with a column of missing cells for each input that it lacks, where that was allowed."""
    lacking = [slot.column for slot in signature.inputs if slot.column not in chunk.columns]
    empty = {name: [None] * len(chunk) for name in lacking}
    return replace(chunk, columns={**chunk.columns, **empty}) if empty else chunk


def _notes(types: Types, signature: Signature, chunk: Chunk, encoded: Encoded) -> dict[int, str]:
    """{row: what to know of it}: the inputs whose value is none that the run learned."""
    told: dict[int, list[str]] = {}
    for slot in signature.inputs:
        unknown = types["input", slot.name].unknown(encoded["input", slot.name])
        for row in () if unknown is None else np.flatnonzero(unknown).tolist():
            told.setdefault(row, []).append(f"{slot.column} {shorten(chunk.columns[slot.column][row])}")
    return {row: f"not seen in training: {', '.join(cells)}" for row, cells in told.items()}
