"""Encoded cells as an exported net takes them. Letters: B rows of a batch, T the longest cell's length."""

from __future__ import annotations

from typing import Any

import numpy as np

LEAST = 2
WIDER = {"int8": np.int32, "int16": np.int32, "uint16": np.int32}  # runtimes know few operations of these


def cells_of(arrays: Any, layout: Any) -> dict[str, np.ndarray]:
    """{"cells": (B, *shape)}; of unequal length (B, T, ...), and beside them "lengths" (B,) int64. layout:
    how a cell lies in the store (`mapsto.types.base.Layout`)."""
    dtype = WIDER.get(layout.dtype, layout.dtype)
    if not layout.ragged:
        return {"cells": np.ascontiguousarray(arrays, dtype)}
    lengths = np.array([len(cell) for cell in arrays], np.int64)
    sides = tuple(side or 0 for side in layout.shape[1:])
    return {"cells": padded_cells(arrays, dtype, sides), "lengths": lengths}


def padded_cells(arrays: Any, dtype: Any, sides: tuple[int, ...] = ()) -> np.ndarray:
    """Cells (n, *sides) of unequal length as (B, T, *sides), two wide at least, 0 behind each one's end: of
    sequences of one an exporter holds that they never are longer."""
    found = np.zeros((len(arrays), max([LEAST, *map(len, arrays)]), *sides), dtype)
    for row, cell in zip(found, arrays, strict=True):
        row[: len(cell)] = cell
    return found
