"""Runs of tokens that texts share, found by their hashes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

LOOKED = 100_000  # runs held back that are looked for, of each split


MOST = 200_000_000  # training tokens that are looked through


PIECE = 1 << 20  # tokens at once


BITS = 24  # of a table that most runs of the training text are told from by one look


PRIME = np.uint64(0x9E3779B97F4A7C15)


def hashes(values: np.ndarray, length: int) -> np.ndarray:
    """(N,) -> (N − length + 1,) uint64: a hash of each run of `length` values, put together from those of
    half the length."""
    if len(values) < length:
        return np.empty(0, np.uint64)
    power, size = values.astype(np.uint64) * PRIME + np.uint64(1), 1  # of runs of `size`
    power ^= power >> np.uint64(29)
    found, done = np.zeros(len(values), np.uint64), 0  # of runs of `done`, the lower bits of the length
    factor = np.uint64(0xBF58476D1CE4E5B9)
    with np.errstate(over="ignore"):
        scale = factor  # factor^size
        while True:
            if length & size:
                rest = len(values) - done - size + 1
                found, done = found[:rest] * scale + power[done : done + rest], done + size
            if size * 2 > length:
                return found[: len(values) - length + 1]
            power, scale, size = power[: len(power) - size] * scale + power[size:], scale * scale, size * 2


def sampled(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray, length: int) -> np.ndarray:
    """Hashes of LOOKED runs or so, evenly spread over the rows."""
    step = max(1, int((offsets[rows + 1] - offsets[rows]).sum()) // LOOKED)
    parts = [piece[::step] for piece in pieces(values, offsets, rows, length)]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def pieces(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray, length: int) -> Iterator[np.ndarray]:
    """Hashes of all runs within rows that lie behind each other, piece by piece; of MOST tokens at most."""
    if not len(rows):
        return
    apart = np.flatnonzero(np.diff(rows) != 1) + 1
    read = 0
    for first, last in zip([0, *apart.tolist()], [*apart.tolist(), len(rows)], strict=True):
        low, high = int(offsets[rows[first]]), int(offsets[rows[last - 1] + 1])
        for start in range(low, high, PIECE):
            if read >= MOST:
                return
            piece = values[start : min(high, start + PIECE + length - 1)]
            read += len(piece)
            yield hashes(piece, length)


def occurring(asked: np.ndarray, pieces: Iterator[np.ndarray]) -> np.ndarray:
    """(n,) bool: which of the sorted hashes occur."""
    table = np.zeros(1 << BITS, bool)
    table[asked >> np.uint64(64 - BITS)] = True
    found = np.zeros(len(asked), bool)
    for piece in pieces:
        likely = piece[table[piece >> np.uint64(64 - BITS)]]
        at = np.minimum(np.searchsorted(asked, likely), len(asked) - 1)
        found[at[asked[at] == likely]] = True
    return found
