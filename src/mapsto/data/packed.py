"""Sets larger than memory: large cells of bytes, such as pictures, kept as PNG without loss and decoded by
threads when a batch asks.

A batch is the same bit for bit as from raw values; decoding is the price, and every core shares in it.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np
import PIL.Image
import torch

from mapsto.training.memory import allowed
from mapsto.types.base import Layout

SMALLEST = 1024  # bytes of a cell below which packing gains nothing
TIMES, HALF = 8, 0.5  # raw values may be so many times the source's size, and so much of what is free
TOGETHER = 8  # cells a thread decodes at a time


def can_pack(layout: Layout) -> bool:
    """Is a cell a plane of bytes, or several of one size?"""
    if layout.ragged or layout.dtype not in ("uint8", "uint16") or len(layout.shape) < 2:
        return False
    return size_of(layout) >= SMALLEST


def size_of(layout: Layout) -> int:
    """Bytes of a cell, of one that is not ragged."""
    return int(np.dtype(layout.dtype).itemsize * np.prod([side or 0 for side in layout.shape]))


def worth_packing(layouts: Iterable[Layout], rows: int, locations: Sequence[str], place: Path) -> bool:
    """Would the raw values of these cells fill half of the free disk, or half of the free memory and eight
    times the source's size?"""
    raw = rows * sum(size_of(layout) for layout in layouts if can_pack(layout))
    there = next(path for path in (place, *place.parents) if path.exists())
    if raw > HALF * shutil.disk_usage(there).free:
        return True
    return raw > HALF * allowed(torch.device("cpu")) and raw > TIMES * sum(map(_bytes, map(Path, locations)))


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def pack(cell: np.ndarray) -> np.ndarray:
    """(..., W) uint8 or uint16 -> (n,) uint8: its rows below each other as a grey PNG."""
    file = io.BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(cell).reshape(-1, cell.shape[-1])).save(
        file, "PNG", compress_level=3
    )
    return np.frombuffer(file.getvalue(), np.uint8)


def unpack(
    values: np.ndarray, offsets: np.ndarray, rows: np.ndarray, dtype: str, shape: Sequence[int]
) -> np.ndarray:
    """(B, *shape): the cells of some rows. values (N,) uint8: all cells behind each other, offsets (rows +
    1,): where each begins."""
    found = np.empty((len(rows), *shape), dtype)
    list(_threads().map(partial(_unpack_some, values, offsets, rows, found), range(0, len(rows), TOGETHER)))
    return found


def _unpack_some(
    values: np.ndarray, offsets: np.ndarray, rows: np.ndarray, found: np.ndarray, low: int
) -> None:
    for at, row in enumerate(rows[low : low + TOGETHER].tolist(), low):
        with PIL.Image.open(
            io.BytesIO(values[offsets[row] : offsets[row + 1]].tobytes()), formats=("PNG",)
        ) as picture:
            found[at] = np.asarray(picture).reshape(found.shape[1:])


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1)
