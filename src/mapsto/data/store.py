"""The store: every cell read, checked and encoded once into memory-mapped arrays (`mapsto.data.encode`).
Training touches these, never files.

A folder in the cache, keyed by the data's fingerprint, the rooms' reading options and the code's version; it
appears by rename, so it is whole or absent, and two trainings at once may make it without harm.

    store.json            rows, blocks, problems
    <n>.bin               one block: the slots of one dtype and shape side by side, (rows, slots, *shape)
    r<n>.values.bin       ragged slots: all values behind each other; r<n>.offsets.bin (rows + 1) int64 and
    r<n>.steps.bin        (rows,) int64, how long each cell is to a net
    p<n>.values.bin       large cells beyond memory, each a PNG (`mapsto.data.packed`); p<n>.offsets.bin
    quarantine.csv        rows that could not be read: row, where, column, why
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Batch, Batches, Draw, Ragged, key, moved
from mapsto.data import cache
from mapsto.data.cache import hold
from mapsto.data.encode import Block, encode_source
from mapsto.data.encode_chunk import PLACES, Spot
from mapsto.data.order import Order
from mapsto.data.packed import unpack
from mapsto.errors import DataError, RunError
from mapsto.models.base import Types
from mapsto.signature import Signature
from mapsto.source import SPLITS, Source

HELD = 0.25  # of a GPU's free memory that encoded rows may take
SIGNED = {
    "uint16": torch.int16,
    "uint32": torch.int32,
    "uint64": torch.int64,
}  # the same bytes, in a type that every device picks rows of
TOGETHER, AT_ONCE = 8, 1 << 20  # steps whose batches are made at once, and encoded bytes of theirs, at most


class Store(Batches):
    """Encoded rows. `split_of` (n,) says which split each row is in; rows that could not be read are in
    none."""

    def __init__(
        self,
        folder: Path,
        signature: Signature,
        types: Types,
        split_of: np.ndarray,
        weights: np.ndarray | None,
        groups: np.ndarray | None = None,
    ):
        record = cache.whole(folder)
        if record is None:
            raise RunError(f"{folder}: is no whole store of rows.\nAway with it: mapsto cache --clear")
        self.folder, self.signature, self.types = folder, signature, types
        self.weights, self.groups = weights, groups
        weakref.finalize(self, hold(folder).close)  # while this store lives, the cache keeps its files
        self.n: int = record["rows"]
        self.problems: list[dict] = record["problems"]
        self.bad: list[dict] = record["bad"]
        unreadable = np.array(sorted({problem["row"] for problem in self.problems}), np.int64)
        split_of = split_of.copy()
        split_of[unreadable] = -1
        self._rows = {name: np.flatnonzero(split_of == i) for i, name in enumerate(SPLITS)}
        self._blocks = [
            (Block(b["file"], b["dtype"], tuple(b["shape"]), tuple(map(tuple, b["spots"]))), self._open(b))
            for b in record["blocks"]
        ]
        self._packed = {tuple(p["spot"]): (p, *self._open_packed(p)) for p in record.get("packed", [])}
        self._ragged = {tuple(r["spot"]): self._open_ragged(r) for r in record["ragged"]}
        self.device = torch.device("cpu")
        self._held: dict[str, Tensor] = {}  # {file: block (n, slots, *shape)} on the device
        self._paces = [spot for spot in self._ragged if types[spot].layout.paces]
        self.few_shapes = not self._paces

    def place(self, device: torch.device) -> None:
        super().place(device)
        self._held = {}
        if device.type == "cuda" and self.bytes <= HELD * torch.cuda.mem_get_info(device)[0]:
            self.hold()

    @property
    def bytes(self) -> int:
        """Of all blocks."""
        return sum(values.nbytes for _, values in self._blocks)

    def hold(self) -> None:
        """Keep all blocks on the device: rows are then picked there. Cells of unequal length, and packed
        ones, stay where they are."""
        self._held = {block.file: _signed(values).to(self.device) for block, values in self._blocks}

    def _open(self, block: Mapping[str, Any]) -> np.ndarray:
        return self._mapped(block["file"], block["dtype"], (self.n, len(block["spots"]), *block["shape"]))

    def _open_ragged(self, record: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(values, offsets (n + 1,), steps (n,))."""
        offsets, steps = (np.fromfile(self.folder / record[part], np.int64) for part in ("offsets", "steps"))
        return (
            self._mapped(record["values"], record["dtype"], (int(offsets[-1]), *record["shape"])),
            offsets,
            steps,
        )

    def _open_packed(self, record: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """(values, offsets (n + 1,)) of PNGs."""
        offsets = np.fromfile(self.folder / record["offsets"], np.int64)
        return self._mapped(record["values"], "uint8", (int(offsets[-1]),)), offsets

    def _mapped(self, file: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        """A file as an array, read when it is touched; a plain view, which is indexed quicker than numpy's
        class for it."""
        return (
            np.asarray(np.memmap(self.folder / file, dtype, "r", shape=shape))
            if all(shape)
            else np.zeros(shape, dtype)
        )

    def size(self, split: str) -> int:
        return len(self._rows[split])

    def rows(self, split: str) -> np.ndarray:
        """(m,) row numbers of a split in the source."""
        return self._rows[split]

    def joined(self, splits: Collection[str]) -> Store:
        found = copy.copy(self)
        together = np.sort(np.concatenate([self._rows[split] for split in splits]))
        found._rows = {**self._rows, "train": together}
        return found

    def flat(self, spot: Spot) -> tuple[np.ndarray, np.ndarray]:
        values, offsets, _ = self._ragged[spot]
        return values, offsets

    def raw(self, rows: np.ndarray, only: Collection[Spot] | None = None) -> dict[Spot, Any]:
        """Encoded cells of the rows: {spot: tensor (B, *shape), or Ragged}; of some spots only, where `only`
        names them."""
        found: dict[Spot, Any] = {}
        for block, values in self._blocks:
            wanted = [i for i, spot in enumerate(block.spots) if only is None or spot in only]
            if not wanted:
                continue
            if block.file in self._held:
                taken = (
                    self._picked(block, rows)[:, wanted]
                    if len(wanted) < len(block.spots)
                    else self._picked(block, rows)
                )
            else:
                part = (
                    values[rows]
                    if len(wanted) == len(block.spots)
                    else values[np.ix_(rows, np.array(wanted))]
                )
                taken = moved(torch.from_numpy(np.ascontiguousarray(part)), self.device)
            found |= {block.spots[i]: taken[:, at] for at, i in enumerate(wanted)}
        for spot, (record, values, offsets) in self._packed.items():
            if only is None or spot in only:
                found[spot] = moved(
                    torch.from_numpy(unpack(values, offsets, rows, record["dtype"], record["shape"])),
                    self.device,
                )
        for spot, (values, offsets, _) in self._ragged.items():
            if only is None or spot in only:
                lengths = offsets[rows + 1] - offsets[rows]
                place = np.arange(lengths.sum()) + np.repeat(
                    offsets[rows] - (lengths.cumsum() - lengths), lengths
                )
                found[spot] = Ragged(torch.from_numpy(values[place]), torch.from_numpy(lengths))
        return found

    def _picked(self, block: Block, rows: np.ndarray) -> Tensor:
        """(B, slots, *shape) of a block that the device holds."""
        held = self._held[block.file]
        found = held.index_select(0, moved(torch.from_numpy(rows), held.device)).to(self.device)
        return found.view(getattr(torch, block.dtype)) if block.dtype in SIGNED else found

    def batch(self, rows: np.ndarray, draw: Draw | None = None, cuts: tuple[int, ...] = ()) -> Batch:
        """The rows as a batch, normalised, and augmented when `draw` is given. Any number of threads may ask
        at once."""
        weight = None if self.weights is None else torch.from_numpy(self.weights[rows])
        batch = collate(
            self.signature,
            self.types,
            self.raw(rows),
            len(rows),
            torch.from_numpy(np.array(rows)),
            weight,
            draw,
            cuts,
        )
        return batch if self.device.type == "cpu" else batch.to(self.device)

    def stream(self, split: str, step: int, batch: int, seed: int) -> Iterator[Batch]:
        rows = self._rows[split]
        if not len(rows):
            raise DataError(
                f"expected rows to train on, found none in '{split}'.\nSee quarantine.csv for rows that could"
                " not be read."
            )
        order = Order(len(rows), seed, self.lengths(rows), batch)
        together = self._together(rows[order.take(0, batch)], seed)
        while True:
            first = (
                step - step % together
            )  # the same steps together wherever a stream begins: a row's cells may differ in the last bit
            chosen = rows[order.take(first * batch, together * batch)]
            draw = Draw(seed, step, len(chosen), self.device)
            made = self.batch(chosen, draw, order.cuts)
            assert together == 1 or not draw.asked, "chance differs from step to step"
            for low in range((step - first) * batch, len(chosen), batch):
                yield made if together == 1 else made.slice(low, low + batch)
                step += 1

    def _together(self, rows: np.ndarray, seed: int) -> int:
        """Steps whose batches are best made at once: several where rows are small and nothing is drawn, for
        most of the work is then done once for all. Of California's nine numbers a batch of 256 takes 0.18 ms
        by itself and 0.025 so."""
        draw = Draw(seed, 0, len(rows), self.device)
        self.batch(rows, draw)
        small = not (draw.asked or self._ragged or self._packed)
        return max(1, min(TOGETHER, AT_ONCE // max(1, self.bytes // self.n * len(rows)))) if small else 1

    def steps_to_probe(self, split: str, batch: int, seed: int) -> tuple[int, int]:
        """Of the first pass over the rows, by the longest row of each batch."""
        rows = self._rows[split]
        if not len(rows) or (lengths := self.lengths(rows)) is None:
            return 0, 0
        steps = max(1, len(rows) // batch)
        taken = Order(len(rows), seed, lengths, batch).take(0, steps * batch)
        by_length = lengths[taken].reshape(steps, batch).max(1).argsort(kind="stable")
        return int(by_length[(steps - 1) // 2]), int(by_length[-1])

    def iterate(self, split: str, batch: int, most: int | None = None) -> Iterator[Batch]:
        rows = self._rows[split]
        if most is not None and len(rows) > most:
            rows = rows[
                np.sort(np.random.default_rng(key("walk", split, most)).permutation(len(rows))[:most])
            ]
        if (lengths := self.lengths(rows)) is not None:
            rows = rows[np.argsort(lengths, kind="stable")]  # batches of like lengths hold little padding
        for start in range(0, len(rows), batch):
            yield self.batch(rows[start : start + batch])

    def lengths(self, rows: np.ndarray) -> np.ndarray | None:
        """(m,) how long the rows' cells of unequal length are to a net, together; None where all are alike,
        or none of them paces (`Layout.paces`)."""
        if not self._paces:
            return None
        return np.sum([self._ragged[spot][2][rows] for spot in self._paces], axis=0)


def _signed(values: np.ndarray) -> Tensor:
    """An array as a tensor of a type that rows can be picked of."""
    found = torch.from_numpy(np.array(values))
    return found.view(SIGNED[values.dtype.name]) if values.dtype.name in SIGNED else found


def collate(
    signature: Signature,
    types: Types,
    raw: Mapping[Spot, Any],
    size: int,
    rows: Tensor | None,
    weight: Tensor | None,
    draw: Draw | None,
    cuts: tuple[int, ...] = (),
) -> Batch:
    """Encoded cells -> a batch. Targets are taken when `raw` has them."""
    inputs = _collated("input", [slot.name for slot in signature.inputs], types, raw, draw)
    known = [slot.name for slot in signature.outputs if ("output", slot.name) in raw]
    places = next((spot for spot in raw if spot[0] == PLACES), None)
    if places is None:
        geometry = extent = None
        targets = _collated("output", known, types, raw, draw)
    else:
        from mapsto.types._geometry import identity

        source, extent = places[1], raw[places][..., 3]
        moves = None if draw is None else types["input", source].affine(draw)
        geometry = _moved(raw[places][..., :3], moves)
        speaking = [name for name in known if types["output", name].annotates(signature) == source]
        targets = _collated("output", [name for name in known if name not in speaking], types, raw, draw)
        for name in speaking:
            own = geometry if not types["output", name].spatial else _moved(identity(size), moves)
            cells = raw["output", name]
            device = cells.flat.device if isinstance(cells, Ragged) else cells.device
            targets[name] = types["output", name].collate(cells, draw, own.to(device))
    present = {name: types["output", name].present(raw["output", name]) for name in known}
    return Batch(
        inputs=inputs,
        targets={name: targets[name] for name in known},
        size=size,
        rows=rows,
        weight=weight,
        present=present,
        geometry=geometry,
        extent=extent,
        cuts=cuts,
    )


def _moved(placed: Tensor, moves: Tensor | None) -> Tensor:
    """(B, 2, 3) and then by what was drawn, (B, 2, 3) or None."""
    from mapsto.types._geometry import composed

    return placed if moves is None else composed(moves, placed.to(moves.device))


def _collated(
    side: str, names: Sequence[str], types: Types, raw: Mapping[Spot, Any], draw: Draw | None
) -> dict[str, Any]:
    """One side's slots, type by type, in the order of names."""
    by_type: dict[type, dict[str, Any]] = {}
    for name in names:
        by_type.setdefault(type(types[side, name]), {})[name] = types[side, name]
    found: dict[str, Any] = {}
    for kind, column_types in by_type.items():
        found |= kind.collates(column_types, {name: raw[side, name] for name in column_types}, draw)
    return {name: found[name] for name in names}


def stored(
    source: Source, signature: Signature, types: Types, emit: Callable[[int, int], None] | None = None
) -> Store:
    """Rows that came later, encoded: all are "test"."""
    rows = sum(len(chunk) for chunk in source.chunks())
    return Store(
        encode_source(source, signature, types, rows, emit),
        signature,
        types,
        np.full(rows, SPLITS.index("test"), np.int8),
        None,
    )


def tensors(value: Any, device: torch.device | str = "cpu") -> Any:
    """Encoded cells as the store gives them: one tensor, or Ragged where they are a list."""
    return (
        Ragged.of([np.asarray(item) for item in value])
        if isinstance(value, list)
        else torch.from_numpy(np.ascontiguousarray(value)).to(device)
    )
