"""The store: every cell read, checked and encoded once into memory-mapped arrays. Training touches these, never files.

A folder in the cache, keyed by the data's fingerprint, the rooms' reading options and the code's version; it appears by rename,
so it is whole or absent, and two trainings at once may make it without harm.

    store.json            rows, blocks, problems
    <n>.bin               one block: the slots of one dtype and shape side by side, (rows, slots, *shape)
    <slot>.values.bin     ragged slots: all values behind each other, with <slot>.offsets.bin (rows + 1) int64
    quarantine.csv        rows that could not be read: row, where, column, why
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Batch, Draw, key
from mapsto.cells import Blob, for_spreadsheet
from mapsto.data.source import SPLITS, BadRow, Chunk, Source
from mapsto.errors import DataError, RunError
from mapsto.files import cache_folder
from mapsto.learners.base import Batches
from mapsto.models.base import Rooms
from mapsto.signature import Signature, Slot

FORMAT = 1  # raise it when the meaning of the files changes
LONG = 1024  # mean length of rows above which batches hold rows of like length; below, padding costs nothing to speak of
POOL = 32  # batches whose rows are sorted by length together
Spot = tuple[str, str]  # ("input" | "output", slot name)


@dataclass(frozen=True)
class Block:
    """Slots of one dtype and shape, in one file."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    spots: tuple[Spot, ...]


class Store(Batches):
    """Encoded rows. `split_of` (n,) says which split each row is in; rows that could not be read are in none."""

    def __init__(self, folder: Path, signature: Signature, types: Rooms, split_of: np.ndarray, weights: np.ndarray | None):
        record = json.loads((folder / "store.json").read_text())
        self.folder, self.signature, self.types, self.weights = folder, signature, types, weights
        self.n: int = record["rows"]
        self.problems: list[dict] = record["problems"]
        self.bad: list[dict] = record["bad"]
        unreadable = np.array(sorted({problem["row"] for problem in self.problems}), np.int64)
        split_of = split_of.copy()
        split_of[unreadable] = -1
        self._rows = {name: np.flatnonzero(split_of == i) for i, name in enumerate(SPLITS)}
        self._blocks = [(Block(b["file"], b["dtype"], tuple(b["shape"]), tuple(map(tuple, b["spots"]))), self._open(b)) for b in record["blocks"]]
        self._ragged = {tuple(r["spot"]): self._open_ragged(r) for r in record["ragged"]}
        self.device = torch.device("cpu")
        self.few_shapes = not self._ragged

    def _open(self, block: Mapping[str, Any]) -> np.ndarray:
        shape = (self.n, len(block["spots"]), *block["shape"])
        return np.memmap(self.folder / block["file"], block["dtype"], "r", shape=shape) if self.n and all(shape) else np.zeros(shape, block["dtype"])

    def _open_ragged(self, record: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        offsets = np.fromfile(self.folder / record["offsets"], np.int64)
        shape = (int(offsets[-1]), *record["shape"])
        values = np.memmap(self.folder / record["values"], record["dtype"], "r", shape=shape) if shape[0] else np.zeros(shape, record["dtype"])
        return values, offsets

    def size(self, split: str) -> int:
        return len(self._rows[split])

    def rows(self, split: str) -> np.ndarray:
        """(m,) row numbers of a split in the source."""
        return self._rows[split]

    def flat(self, spot: Spot) -> tuple[np.ndarray, np.ndarray]:
        return self._ragged[spot]

    def unlabelled(self, slot: str) -> int:
        """Rows in use for which nothing is known of an output."""
        for block, values in self._blocks:
            if ("output", slot) in block.spots:
                column = values[:, block.spots.index(("output", slot))]
                used = np.sort(np.concatenate(list(self._rows.values())))
                known = (
                    self.types["output", slot].present(torch.from_numpy(np.ascontiguousarray(column[low])))
                    for low in np.array_split(used, -(-len(used) // 65536) or 1)
                )
                return len(used) - sum(int(part.reshape(len(part), -1).any(1).sum()) for part in known)
        return 0

    def raw(self, rows: np.ndarray, only: Collection[Spot] | None = None) -> dict[Spot, Any]:
        """Encoded cells of the rows: {spot: tensor (B, *shape), or a list of tensors}; of some spots only, where `only` names them."""
        found: dict[Spot, Any] = {}
        for block, values in self._blocks:
            wanted = [i for i, spot in enumerate(block.spots) if only is None or spot in only]
            if not wanted:
                continue
            part = values[rows] if len(wanted) == len(block.spots) else values[np.ix_(rows, np.array(wanted))]
            taken = torch.from_numpy(np.ascontiguousarray(part)).to(self.device)
            found |= {block.spots[i]: taken[:, at] for at, i in enumerate(wanted)}
        for spot, (values, offsets) in self._ragged.items():
            if only is None or spot in only:
                found[spot] = [torch.from_numpy(np.array(values[offsets[r] : offsets[r + 1]])).to(self.device) for r in rows]
        return found

    def batch(self, rows: np.ndarray, draw: Draw | None = None) -> Batch:
        """The rows as a batch, normalised, and augmented when `draw` is given."""
        weight = None if self.weights is None else torch.from_numpy(self.weights[rows]).to(self.device)
        return collate(
            self.signature, self.types, self.raw(rows), len(rows), torch.from_numpy(np.ascontiguousarray(rows)).to(self.device), weight, draw
        )

    def stream(self, split: str, step: int, batch: int, seed: int) -> Iterator[Batch]:
        rows = self._rows[split]
        if not len(rows):
            raise DataError(f"expected rows to train on, found none in '{split}'.\nSee quarantine.csv for rows that could not be read.")
        order = self._order(rows, batch, seed)
        while True:
            chosen = rows[order.take(step * batch, batch)]
            yield self.batch(chosen, Draw(seed, step, len(chosen), self.device))
            step += 1

    def steps_to_probe(self, split: str, batch: int, seed: int) -> tuple[int, int]:
        """Of the first pass over the rows, by the longest row of each batch."""
        rows = self._rows[split]
        if not len(rows) or (lengths := self.lengths(rows)) is None:
            return 0, 0
        steps = max(1, len(rows) // batch)
        taken = self._order(rows, batch, seed).take(0, steps * batch)
        by_length = lengths[taken].reshape(steps, batch).max(1).argsort(kind="stable")
        return int(by_length[(steps - 1) // 2]), int(by_length[-1])

    def walk(self, split: str, batch: int, most: int | None = None) -> Iterator[Batch]:
        rows = self._rows[split]
        if most is not None and len(rows) > most:
            rows = rows[np.sort(np.random.default_rng(key("walk", split, most)).permutation(len(rows))[:most])]
        if (lengths := self.lengths(rows)) is not None:
            rows = rows[np.argsort(lengths, kind="stable")]  # batches of like lengths hold little padding
        for start in range(0, len(rows), batch):
            yield self.batch(rows[start : start + batch])

    def _order(self, rows: np.ndarray, batch: int, seed: int) -> Order:
        """The rows' order in training; by length only where padding costs more than like batches do: short rows cost little."""
        lengths = self.lengths(rows)
        return Order(len(rows), seed, lengths if lengths is not None and lengths.mean() > LONG else None, batch)

    def lengths(self, rows: np.ndarray) -> np.ndarray | None:
        """(m,) how long the rows' cells of unequal length are together; None where all are alike."""
        if not self._ragged:
            return None
        return np.sum([offsets[rows + 1] - offsets[rows] for _, offsets in self._ragged.values()], axis=0)


class Order:
    """An endless sequence of row positions: every epoch its own permutation, so no row is dropped and none comes twice in an epoch.

    Where rows have `lengths` (m,), those of POOL batches are dealt out again so that each batch holds rows of like length (and
    an octave of chance, for length may tell the answer: spam is long, and batches of one class teach badly), and the
    batches are shuffled: little padding, and the same rows in the same stretch of the sequence."""

    def __init__(self, rows: int, seed: int, lengths: np.ndarray | None = None, batch: int = 1):
        self.rows, self.seed, self.lengths, self.batch = rows, seed, lengths, batch
        self.pool = batch * max(1, min(POOL, rows // batch))
        self._epochs: dict[int, np.ndarray] = {}
        self._dealt: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))

    def take(self, start: int, count: int) -> np.ndarray:
        """Positions start … start + count of the sequence. (count,) int64."""
        if self.lengths is None:
            return self._plain(start, count)
        pools = range(start // self.pool, (start + count - 1) // self.pool + 1)
        dealt = np.concatenate([self._deal(pool) for pool in pools])
        return dealt[start - pools[0] * self.pool :][:count]

    def _deal(self, pool: int) -> np.ndarray:
        """The rows of one pool in batches of like lengths."""
        if self._dealt[0] != pool:
            assert self.lengths is not None
            rows = self._plain(pool * self.pool, self.pool)
            draw = np.random.default_rng(key(self.seed, "pool", pool))
            like = np.log2(1 + self.lengths[rows]) + draw.random(len(rows))
            batches = rows[np.argsort(like, kind="stable")].reshape(-1, self.batch)
            shuffled = draw.permutation(len(batches))
            self._dealt = (pool, batches[shuffled].reshape(-1))
        return self._dealt[1]

    def _plain(self, start: int, count: int) -> np.ndarray:
        places = np.arange(start, start + count)
        epochs = places // self.rows
        return np.concatenate([self._epoch(e)[places[epochs == e] % self.rows] for e in range(epochs[0], epochs[-1] + 1)])

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            self._epochs = {e: order for e, order in self._epochs.items() if e == epoch - 1}
            self._epochs[epoch] = np.random.default_rng(key(self.seed, "order", epoch)).permutation(self.rows)
        return self._epochs[epoch]


def collate(
    signature: Signature, types: Rooms, raw: Mapping[Spot, Any], size: int, rows: Tensor | None, weight: Tensor | None, draw: Draw | None
) -> Batch:
    """Encoded cells -> a batch. Targets are taken when `raw` has them."""
    inputs = _collated("input", [slot.name for slot in signature.inputs], types, raw, draw)
    known = [slot.name for slot in signature.outputs if ("output", slot.name) in raw]
    targets = _collated("output", known, types, raw, draw)
    present = {name: types["output", name].present(raw["output", name]) for name in known}
    return Batch(inputs, targets, size, rows, weight, present)


def _collated(side: str, names: Sequence[str], types: Rooms, raw: Mapping[Spot, Any], draw: Draw | None) -> dict[str, Any]:
    """One side's slots, type by type, in the signature's order."""
    by_type: dict[type, dict[str, Any]] = {}
    for name in names:
        by_type.setdefault(type(types[side, name]), {})[name] = types[side, name]
    found: dict[str, Any] = {}
    for kind, rooms in by_type.items():
        found |= kind.collates(rooms, {name: raw[side, name] for name in rooms}, draw)
    return {name: found[name] for name in names}


def prepare(source: Source, signature: Signature, types: Rooms, rows: int, tell: Callable[[int, int], None] | None = None) -> Path:
    """Encode all rows into the cache, unless they lie there already; the store's folder. tell(rows done, rows) reports progress."""
    folder = cache_folder() / "store" / _key(source, signature, types, rows)
    if (folder / "store.json").exists():
        os.utime(folder)
        return folder
    workplace = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        workplace.mkdir(parents=True)
        _encode(source, signature, types, rows, workplace, tell)
        os.rename(workplace, folder)
    except OSError as problem:
        if (folder / "store.json").exists():  # another training made it meanwhile
            return folder
        raise RunError(
            f"cannot write encoded data to {folder.parent}: {problem.strerror or problem}.\nFree some disk, or set MAPSTO_CACHE to another folder."
        ) from None
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
    return folder


def _key(source: Source, signature: Signature, types: Rooms, rows: int) -> str:
    reading = [
        (side, slot.name, slot.column, slot.type, {f: getattr(types[side, slot.name], f) for f in types[side, slot.name].reading})
        for side, slot in spots(signature)
    ]
    text = json.dumps([FORMAT, _code(), source.fingerprint, rows, reading], default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _code() -> str:
    """The version of the code that encodes: a hash of the rooms' and readers' files."""
    here = Path(__file__).parent
    files = sorted(
        [
            *here.glob("*.py"),
            *(here.parent / "types").glob("*.py"),
            here.parent / "cells.py",
            here.parent / "ngrams.py",
            here.parent / "tokens.py",
            here.parent / "next_token.py",
        ]
    )
    return hashlib.blake2b(b"".join(file.read_bytes() for file in files), digest_size=8).hexdigest()


def spots(signature: Signature) -> list[tuple[str, Slot]]:
    """Every slot with its side, inputs first."""
    return [("input", slot) for slot in signature.inputs] + [("output", slot) for slot in signature.outputs]


def stored(source: Source, signature: Signature, types: Rooms, tell: Callable[[int, int], None] | None = None) -> Store:
    """Rows that came later, encoded: all are "test"."""
    rows = sum(len(chunk) for chunk in source.chunks())
    return Store(prepare(source, signature, types, rows, tell), signature, types, np.full(rows, SPLITS.index("test"), np.int8), None)


class _Writer:
    """The files of a store being made."""

    def __init__(self, folder: Path, signature: Signature, types: Rooms, rows: int):
        self.folder, self.ragged = folder, {}
        grouped: dict[tuple[str, tuple], list[Spot]] = {}
        for side, slot in spots(signature):
            layout = types[side, slot.name].layout
            if layout.ragged:
                number = len(self.ragged)
                record = {
                    "spot": (side, slot.name),
                    "dtype": layout.dtype,
                    "shape": layout.shape[1:],
                    "values": f"r{number}.values.bin",
                    "offsets": f"r{number}.offsets.bin",
                }
                self.ragged[side, slot.name] = (record, (folder / record["values"]).open("wb"), [0])
            else:
                grouped.setdefault((layout.dtype, layout.shape), []).append((side, slot.name))  # type: ignore[arg-type]
        self.blocks = [Block(f"{i}.bin", dtype, shape, tuple(names)) for i, ((dtype, shape), names) in enumerate(grouped.items())]
        self.files = {block.file: (folder / block.file).open("wb") for block in self.blocks}

    def write(self, encoded: Mapping[Spot, Any]) -> None:
        for block in self.blocks:
            np.stack([np.asarray(encoded[spot], block.dtype) for spot in block.spots], 1).tofile(self.files[block.file])
        for spot, (record, file, offsets) in self.ragged.items():
            for value in encoded[spot]:
                np.asarray(value, record["dtype"]).tofile(file)
                offsets.append(offsets[-1] + len(value))

    def close(self, rows: int, problems: list[dict], bad: list[BadRow]) -> None:
        for file in self.files.values():
            file.close()
        for record, file, offsets in self.ragged.values():
            file.close()
            np.array(offsets, np.int64).tofile(self.folder / record["offsets"])
        record = {
            "rows": rows,
            "blocks": [dataclasses.asdict(block) for block in self.blocks],
            "ragged": [r for r, _, _ in self.ragged.values()],
            "problems": problems,
            "bad": [dataclasses.asdict(row) for row in bad],
        }
        (self.folder / "store.json").write_text(json.dumps(record))
        list_bad(self.folder / "quarantine.csv", bad, problems)


def list_bad(path: Path, bad: Sequence[BadRow], problems: Sequence[Mapping[str, Any]]) -> None:
    """quarantine.csv: every row that could not be read, and why, one line each."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["where", "column", "why"])
        rows = [(row.where, "", row.why) for row in bad] + [(problem["where"], problem["column"], problem["why"]) for problem in problems]
        table.writerows([for_spreadsheet(cell) for cell in (where, column, " ".join(why.split()))] for where, column, why in rows)


def _encode(source: Source, signature: Signature, types: Rooms, rows: int, folder: Path, tell: Callable[[int, int], None] | None) -> None:
    writer = _Writer(folder, signature, types, rows)
    problems: list[dict] = []
    bad: list[BadRow] = []
    done = 0
    heavy = any(types[side, slot.name].layout.shape for side, slot in spots(signature))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for chunk in source.chunks(1024 if heavy else 16384):
            bad += chunk.bad
            encoded, found = encode_chunk(chunk, signature, types, pool)
            problems += [{**problem, "row": done + problem["row"]} for problem in found]
            writer.write(encoded)
            done += len(chunk)
            if tell:
                tell(done, rows)
    writer.close(done, problems, bad)


def encode_chunk(chunk: Chunk, signature: Signature, types: Rooms, pool: ThreadPoolExecutor | None = None) -> tuple[dict[Spot, Any], list[dict]]:
    """A chunk's cells, encoded; and what could not be read: {"row" in the chunk, "where", "column", "why"}. Columns that are
    absent (targets at prediction) are left out."""
    encoded: dict[Spot, Any] = {}
    problems: list[dict] = []
    for side, slot in spots(signature):
        if slot.column not in chunk.columns:
            continue
        cells = chunk.columns[slot.column]
        encoded[side, slot.name], unread = _encode_column(types[side, slot.name], cells, pool)
        problems += [{"row": i, "where": chunk.where[i], "column": slot.column, "why": why, "side": side} for i, why in unread.items()]
    return encoded, problems


def _encode_column(room: Any, cells: Sequence[Any], pool: ThreadPoolExecutor | None) -> tuple[Any, dict[int, str]]:
    """One column, its files decoded by all cores: decoders release the interpreter's lock."""
    if pool is None or len(cells) < 32 or not (isinstance(cells[0], (Blob, bytes, dict)) or room.layout.shape):
        return room.encode_column(cells)
    size = 16
    parts = [cells[i : i + size] for i in range(0, len(cells), size)]
    found = list(pool.map(room.encode_column, parts))
    unread = {i * size + j: why for i, (_, problems) in enumerate(found) for j, why in problems.items()}
    joined = [value for part, _ in found for value in part] if room.layout.ragged else np.concatenate([part for part, _ in found])
    return joined, unread
