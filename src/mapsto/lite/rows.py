"""New rows on their way through a run, or through its export, in three steps that may happen in three places:
read (`read_rows`), put through the net together with others' (`joined`), told in the data's own words
(`decode_rows`). `run` has a path, a signature, types and its outputs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mapsto.cells import shorten
from mapsto.errors import ConfigError, DataError, SignatureError, did_you_mean
from mapsto.prediction import Answer
from mapsto.signature import Signature, Slot
from mapsto.source import Chunk, Source

if TYPE_CHECKING:
    from mapsto.models.base import Types
    from mapsto.prediction import Prediction


PIECE = 1024  # rows read at once
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
    from mapsto.data.encode_chunk import encode_chunk

    chunk = completed(chunk, signature)
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
    notes = notes_of(run.types, read.signature, chunk, read.encoded)
    return [
        Answer(
            chunk.where[i],
            {} if i in unread else {slot: values[i] for slot, values in found.items()},
            unread.get(i, "") or no_number(found, i),
            notes.get(i, ""),
            {name: chunk.columns[name][i] for name in kept},
        )
        for i in range(len(chunk))
    ]


def answer_chunk(
    run: Any, read: ReadRows, found: Mapping[str, Sequence[Prediction]], kept: Sequence[str] = ()
) -> list[Answer]:
    """The answers to a chunk's rows, then what is to be said of lines that are no rows."""
    bad = [Answer(line.where, {}, line.why, counted=False) for line in read.chunk.bad]
    return decode_rows(run, read, found, kept) + bad


def no_number(found: Mapping[str, Sequence[Prediction]], row: int) -> str:
    """What is wrong with an answer that is no number."""
    values = {slot: made[row].value for slot, made in found.items()}
    lost = [slot for slot, value in values.items() if isinstance(value, float) and math.isnan(value)]
    return f"the net's answer for '{lost[0]}' is no number" if lost else ""


def kept_columns(source: Source, keep: Sequence[str]) -> tuple[str, ...]:
    """The columns of a source that go with the answers. DataError: it has no such column."""
    if isinstance(keep, str):
        keep = source.columns if keep == "all" else (keep,)
    for name in keep:
        if name not in source.columns:
            hint = did_you_mean(name, source.columns)
            raise DataError(f"{source.name}: has no column '{name}' to keep.\n{hint}")
    return tuple(keep)


def classes_of(run: Any) -> dict[str, tuple[Any, ...]]:
    """{output: its classes} of the outputs that say how likely each is. ConfigError: none does."""
    outputs = {slot.name: run.output(slot.name) for slot in run.signature.outputs}
    found = {name: output.type.answers for name, output in outputs.items() if output.chances is not None}
    if not found:
        raise ConfigError(
            f"{run.path}: learned {run.signature}, whose answers are no classes with a probability each.\n"
            "Leave --probabilities out."
        )
    return found


def completed(chunk: Chunk, signature: Signature) -> Chunk:
    """The chunk with a column of missing cells for each input that it lacks, where that was allowed."""
    lacking = [slot.column for slot in signature.inputs if slot.column not in chunk.columns]
    empty = {name: [None] * len(chunk) for name in lacking}
    return replace(chunk, columns={**chunk.columns, **empty}) if empty else chunk


def notes_of(types: Types, signature: Signature, chunk: Chunk, encoded: Mapping) -> dict[int, str]:
    """{row: what to know of it}: the inputs whose value is none that the run learned."""
    found: dict[int, list[str]] = {}
    for slot in signature.inputs:
        unknown = types["input", slot.name].unknown(encoded["input", slot.name])
        for row in () if unknown is None else np.flatnonzero(unknown).tolist():
            found.setdefault(row, []).append(f"{slot.column} {shorten(chunk.columns[slot.column][row])}")
    return {row: f"not seen in training: {', '.join(cells)}" for row, cells in found.items()}


def located(run: Any, source: Source, targets: bool = False, missing_ok: bool = False) -> Signature:
    """The signature with this source's columns: of the same name, or the only one that can be meant.
    missing_ok: an input of which there is none keeps its own. SignatureError names all that lack."""
    lacking: list[str] = []

    def find(slot: Slot) -> Slot:
        for name in (slot.column, slot.name):
            if name in source.columns:
                return replace(slot, column=name)
        side = run.signature.outputs if slot in run.signature.outputs else run.signature.inputs
        if slot.type in source.columns and sum(other.type == slot.type for other in side) == 1:
            return replace(slot, column=slot.type)
        if (
            len(source.columns) == 1 == len(run.signature.inputs) and not targets and source.locations
        ):  # a dict or frame names its cells
            return replace(slot, column=source.columns[0])
        lacking.append(slot.column)
        return slot

    outputs = tuple(find(slot) for slot in run.signature.outputs) if targets else run.signature.outputs
    inputs = tuple(find(slot) for slot in run.signature.inputs)
    if lacking and not (missing_ok and len(lacking) < len(inputs)):
        raise _lacking(run, source, lacking, not targets and len(lacking) < len(inputs))
    return Signature(inputs, outputs)


def _lacking(run: Any, source: Source, names: Sequence[str], optional: bool) -> SignatureError:
    """optional: could the rows be answered without?"""
    found = ", ".join(source.columns[:8]) + ", …" * (len(source.columns) > 8)
    what = f"a column '{names[0]}'" if len(names) == 1 else f"columns {', '.join(map(repr, names))}"
    way = "\nAdd what lacks, or take it for missing cells: --missing-ok" if optional else ""
    return SignatureError(
        f"{source.name}: expected {what}, found {found}.\nThe run learned: {run.signature}{way}"
    )


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
