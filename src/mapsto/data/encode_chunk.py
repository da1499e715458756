"""A chunk's cells, encoded. Without PyTorch: new rows are also answered where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from mapsto.cells import Annotated, Blob
from mapsto.signature import Signature, Slot
from mapsto.source import Chunk
from mapsto.types.base import placed_input

if TYPE_CHECKING:
    from mapsto.models.base import Types

PART = 16  # cells that a thread reads at a time
PLACES = "places"  # (2, 4) of each row: placement (2, 3) and extent (2,) of the input that outputs annotate
Spot = tuple[str, str]  # ("input" | "output" | PLACES, slot name)


def spots(signature: Signature) -> list[tuple[str, Slot]]:
    """Every slot with its side, inputs first."""
    return [("input", slot) for slot in signature.inputs] + [("output", slot) for slot in signature.outputs]


def encode_chunk(
    chunk: Chunk, signature: Signature, types: Types, pool: ThreadPoolExecutor | None = None
) -> tuple[dict[Spot, Any], list[dict]]:
    """A chunk's cells, encoded; and what could not be read: {"row" in the chunk, "where", "column", "why"}.
    Columns that are absent (targets at prediction) are left out. Beside an input that outputs annotate stands
    where its type has placed each cell."""
    encoded: dict[Spot, Any] = {}
    problems: list[dict] = []
    placed = placed_input(signature, types)
    for side, slot in spots(signature):
        if slot.column not in chunk.columns:
            continue
        cells = _beside(types[side, slot.name], side, chunk.columns[slot.column], signature, chunk.columns)
        if (side, slot.name) == ("input", placed):
            encoded[side, slot.name], encoded[PLACES, slot.name], unread = _encode_placed(
                types[side, slot.name], cells, pool
            )
        else:
            encoded[side, slot.name], unread = _encode_column(types[side, slot.name], cells, pool)
        problems += [
            {"row": i, "where": chunk.where[i], "column": slot.column, "why": why, "side": side}
            for i, why in unread.items()
        ]
    unread = {problem["row"] for problem in problems}
    unsaid = {row: told for row, told in _too_short(encoded, signature, types).items() if row not in unread}
    problems += [
        {"row": i, "where": chunk.where[i], "column": column, "why": why, "side": "output"}
        for i, (column, why) in unsaid.items()
    ]
    return encoded, problems


def _too_short(encoded: Mapping[Spot, Any], signature: Signature, types: Types) -> dict[int, tuple[str, str]]:
    """{row: (column, why)} of answers that take more steps than a net makes of the input, where steps are
    counted (`DataType.takes`)."""
    found: dict[int, tuple[str, str]] = {}
    for slot in signature.outputs:
        column_type = types["output", slot.name]
        cells = encoded.get(("output", slot.name))
        if cells is None or not column_type.layout.ragged:
            continue
        from mapsto.batch import Ragged

        least = column_type.min_input_steps(Ragged.of(cells))
        if least is None:
            continue
        given = [
            one
            for one in signature.inputs
            if types["input", one.name].layout.ragged and ("input", one.name) in encoded
        ]
        steps = [types["input", one.name].steps(Ragged.of(encoded["input", one.name])) for one in given]
        for row in np.flatnonzero(least > np.sum(steps, axis=0)).tolist() if steps else ():
            had = int(np.sum(steps, axis=0)[row])
            found[row] = (
                slot.column,
                (
                    f"takes {int(least[row]):,} steps of the input at least, which has {had:,}. Do they"
                    " belong together?"
                ),
            )
    return found


def _beside(
    column_type: Any,
    side: str,
    cells: Sequence[Any],
    signature: Signature,
    columns: Mapping[str, Sequence[Any]],
) -> Sequence[Any]:
    """An output's cells, each with that of the input it speaks of, where it speaks of one."""
    within = column_type.annotates(signature) if side == "output" else None
    if within is None:
        return cells
    return [
        Annotated(cell, other)
        for cell, other in zip(cells, columns[signature.column_of(within)], strict=True)
    ]


def _encode_placed(
    column_type: Any, cells: Sequence[Any], pool: ThreadPoolExecutor | None
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """A spatial column: its cells encoded, their places (n, 2, 4), and what could not be read."""
    parts = _parts(cells) or [cells]
    found = list((pool.map if pool else map)(partial(_encode_and_place, column_type), parts))
    unread = {i * PART + j: why for i, (_, _, problems) in enumerate(found) for j, why in problems.items()}
    encoded, places = np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])
    return encoded, places, unread


def _encode_and_place(
    column_type: Any, cells: Sequence[Any]
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    layout = column_type.layout
    values, problems = column_type.read_all(cells)
    encoded = np.empty((len(values), *layout.shape), layout.dtype)
    places = np.empty((len(values), 2, 4), np.float32)
    for row, (value, array) in enumerate(zip(values, column_type.encode_all(values), strict=True)):
        encoded[row] = array
        places[row, :, :3], places[row, :, 3] = column_type.placement(value), column_type.extent(value)
    return encoded, places, problems


def _parts(cells: Sequence[Any]) -> list[Sequence[Any]]:
    return [cells[i : i + PART] for i in range(0, len(cells), PART)]


def _encode_column(
    column_type: Any, cells: Sequence[Any], pool: ThreadPoolExecutor | None
) -> tuple[Any, dict[int, str]]:
    """One column, its files decoded by all cores: decoders release the interpreter's lock."""
    if (
        pool is None
        or len(cells) < 32
        or not (isinstance(cells[0], (Blob, bytes, dict)) or column_type.layout.shape)
    ):
        return column_type.encode_column(cells)
    found = list(pool.map(column_type.encode_column, _parts(cells)))
    unread = {i * PART + j: why for i, (_, problems) in enumerate(found) for j, why in problems.items()}
    joined = (
        [value for part, _ in found for value in part]
        if column_type.layout.ragged
        else np.concatenate([part for part, _ in found])
    )
    return joined, unread
