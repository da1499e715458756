"""Passages of texts held back that also stand, word for word, in texts that are learned from: what is
remembered need not be understood.

Runs of so many tokens that hardly recur by chance (`DataType.passage`) are hashed; a sample of those held
back is looked for in the training text, which goes by once in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mapsto.checks.base import Evidence, Finding
from mapsto.signature import Slot

LOOKED = 100_000  # runs held back that are looked for, of each split
MOST = 200_000_000  # training tokens that are looked through
PIECE = 1 << 20  # tokens at once
BITS = 24  # of a table that most runs of the training text are told from by one look
MANY = 0.01  # share of the runs held back that is worth a warning
PRIME = np.uint64(0x9E3779B97F4A7C15)


def look(evidence: Evidence) -> list[Finding]:
    return [found for slot in evidence.outputs if (found := _of(evidence, slot)) is not None]


def _of(evidence: Evidence, slot: Slot) -> Finding | None:
    length, store = evidence.column_type("output", slot).overlap_length, evidence.store
    if not length or not store.size("train"):
        return None
    values, offsets = store.flat(("output", slot.name))
    splits = [split for split in ("validation", "test") if store.size(split)]
    held = [_sampled(values, offsets, store.rows(split), length) for split in splits]
    asked = np.unique(np.concatenate(held)) if held else np.empty(0, np.uint64)
    if not len(asked):
        return None
    found = _found(asked, _pieces(values, offsets, store.rows("train"), length))
    shares = {
        split: float(found[np.searchsorted(asked, one)].mean())
        for split, one in zip(splits, held, strict=True)
        if len(one)
    }
    said = " and ".join(f"{share:.1%} of the {split} text's" for split, share in shares.items())
    what = f"{said} runs of {length} tokens also stand in the training text"
    if not any(shares.values()):
        return None
    level = "warn" if max(shares.values()) >= MANY else "note"
    effect = (
        "what is remembered flatters the figures: they say less of new text"
        if level == "warn"
        else "so few that the figures are of new text"
    )
    fix = (
        "take repeated passages out, or keep what belongs together on one side (--group COLUMN)"
        if level == "warn"
        else "nothing to do"
    )
    count = round(max(shares.values()) * len(asked))
    return Finding(
        "overlap", level, what, effect, fix, (slot.column,), count, figures={"tokens": length, **shares}
    )


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


def _sampled(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray, length: int) -> np.ndarray:
    """Hashes of LOOKED runs or so, evenly spread over the rows."""
    step = max(1, int((offsets[rows + 1] - offsets[rows]).sum()) // LOOKED)
    parts = [piece[::step] for piece in _pieces(values, offsets, rows, length)]
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def _pieces(values: np.ndarray, offsets: np.ndarray, rows: np.ndarray, length: int) -> Iterator[np.ndarray]:
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


def _found(asked: np.ndarray, pieces: Iterator[np.ndarray]) -> np.ndarray:
    """(n,) bool: which of the sorted hashes occur."""
    table = np.zeros(1 << BITS, bool)
    table[asked >> np.uint64(64 - BITS)] = True
    found = np.zeros(len(asked), bool)
    for piece in pieces:
        likely = piece[table[piece >> np.uint64(64 - BITS)]]
        at = np.minimum(np.searchsorted(asked, likely), len(asked) - 1)
        found[at[asked[at] == likely]] = True
    return found
