"""Encoded rows in memory, as `mapsto.data.encode_chunk` gives them: {(side, slot): array (n, *shape), or a
list of n arrays}."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Ragged
from mapsto.data.encode_chunk import Spot
from mapsto.data.store import tensors
from mapsto.lite.rows import joined

Encoded = Mapping[Spot, Any]


def size_of(encoded: Encoded) -> int:
    """Its rows."""
    return len(next(iter(encoded.values()))) if encoded else 0


def bytes_of(encoded: Encoded) -> int:
    return sum(
        sum(cell.nbytes for cell in cells) if isinstance(cells, list) else cells.nbytes
        for cells in encoded.values()
    )


def behind(first: Encoded, then: Encoded) -> Encoded:
    """Both behind each other, of the slots that `then` has."""
    return joined([{spot: first[spot] for spot in then}, then]) if size_of(first) else then


def rows_of(encoded: Encoded, rows: Sequence[int] | np.ndarray) -> Encoded:
    """Some rows, in this order."""
    return {
        spot: [cells[i] for i in rows] if isinstance(cells, list) else cells[rows]
        for spot, cells in encoded.items()
    }


def latest(encoded: Encoded, most: int) -> Encoded:
    """The last rows, so many at most."""
    return rows_of(encoded, np.arange(size_of(encoded))[-most:]) if most else {}


def from_store(raw: Mapping[Spot, Any]) -> Encoded:
    """Rows as a store gives them."""
    return {
        spot: [cell.cpu().numpy() for cell in value] if isinstance(value, Ragged) else value.cpu().numpy()
        for spot, value in raw.items()
    }


def to_tensors(encoded: Encoded) -> dict[Spot, Any]:
    """As a batch is made of them."""
    return {spot: tensors(cells) for spot, cells in encoded.items()}


def flat(encoded: Encoded, prefix: str) -> dict[str, Tensor]:
    """As a file of tensors holds them."""
    found = {}
    for (side, slot), cells in encoded.items():
        name = f"{prefix}.{side}.{slot}"
        if isinstance(cells, list):
            found[f"{prefix}-lengths.{side}.{slot}"] = torch.tensor([len(cell) for cell in cells])
            cells = np.concatenate(cells) if cells else np.empty(0, np.int32)
        found[name] = torch.from_numpy(np.ascontiguousarray(cells))
    return found


def unflat(tensors_: Mapping[str, Tensor], prefix: str) -> Encoded:
    """The inverse."""
    found: dict[Spot, Any] = {}
    for name, value in tensors_.items():
        of, _, spot = name.partition(".")
        if of != prefix:
            continue
        side, _, slot = spot.partition(".")
        lengths = tensors_.get(f"{prefix}-lengths.{spot}")
        cells = value.numpy()
        if lengths is not None:
            ends = np.r_[0, lengths.numpy().cumsum()]
            found[side, slot] = [cells[low:high] for low, high in pairwise(ends)]
        else:
            found[side, slot] = cells
    return found
