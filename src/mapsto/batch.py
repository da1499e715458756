"""What a step learns from: rows as tensors, and the random choices made for them.

Letters: B batch, T time, C channels, D width, H W image, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from mapsto.seeds import key


def moved(value: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on a device. To a GPU it goes through pinned memory, so that nobody waits: kernels that read
    it come behind it in the queue."""
    if torch.device(device).type == "cuda" and value.device.type == "cpu":
        return value.pin_memory().to(device, non_blocking=True)
    return value.to(device)


@dataclass(frozen=True)
class Ragged:
    """Cells of unequal length behind each other. flat (N, ...), lengths (B,) int64, which sum to N and stay
    in the processor's memory, so that cutting waits for no device."""

    flat: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, arrays: Sequence[Any]) -> Ragged:
        """One cell after the other, each an array or a tensor (n, ...)."""
        lengths = torch.tensor([len(array) for array in arrays], dtype=torch.int64)
        if not len(arrays):
            return cls(torch.zeros(0, dtype=torch.int32), lengths)
        return cls(
            (
                torch.cat(list(arrays))
                if isinstance(arrays[0], Tensor)
                else torch.from_numpy(np.concatenate(arrays))
            ),
            lengths,
        )

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.flat.split(self.lengths.tolist()))

    def __getitem__(self, rows: slice | Tensor) -> Ragged:
        """Some rows: neighbours share the memory, positions (n,) int64 are gathered."""
        if isinstance(rows, slice) and rows.step not in (None, 1):
            rows = torch.arange(len(self))[rows]
        ends, chosen = self.lengths.cumsum(0), self.lengths[rows if isinstance(rows, slice) else rows.cpu()]
        if isinstance(rows, slice):
            low = rows.indices(len(self))[0]
            first = int(ends[low - 1]) if low else 0
            return Ragged(self.flat[first : first + int(chosen.sum())], chosen)
        starts = (ends - self.lengths)[rows.cpu()]
        place = torch.arange(int(chosen.sum())) + torch.repeat_interleave(
            starts - (chosen.cumsum(0) - chosen), chosen
        )
        return Ragged(self.flat[place.to(self.flat.device)], chosen)

    def to(self, device: torch.device | str) -> Ragged:
        return Ragged(moved(self.flat, device), self.lengths)

    @property
    def row(self) -> Tensor:
        """(N,) int64: whose each value is."""
        return torch.repeat_interleave(torch.arange(len(self)), self.lengths).to(self.flat.device)

    @property
    def starts(self) -> Tensor:
        """(B,) int64: where each cell begins in `flat`."""
        return (self.lengths.cumsum(0) - self.lengths).to(self.flat.device)


@dataclass(frozen=True)
class Padded:
    """Sequences of unequal length. values (B, T, ...), lengths (B,) int64. counts: the lengths as plain
    numbers where they are at hand: rows that are cut out are then as wide as the longest of them."""

    values: Tensor
    lengths: Tensor
    counts: tuple[int, ...] = ()

    def __getitem__(self, rows: slice | Tensor) -> Padded:
        return Padded(*self._cut(rows))

    def _cut(self, rows: slice | Tensor) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        if not isinstance(rows, slice) or not self.counts:
            return self.values[rows], self.lengths[rows], ()
        counts = self.counts[rows]
        return self.values[rows, : max(counts, default=1)], self.lengths[rows], counts

    def to(self, device: torch.device | str) -> Padded:
        return Padded(moved(self.values, device), moved(self.lengths, device), self.counts)

    def cells(self) -> list[Tensor]:
        """Each row's values (n, ...), without what pads them."""
        return [row[:length] for row, length in zip(self.values, self.lengths, strict=True)]

    @property
    def mask(self) -> Tensor:
        """(B, T) bool, true where there is a value."""
        return torch.arange(self.values.shape[1], device=self.lengths.device) < self.lengths[:, None]


def register_tree(kind: type, tensors: tuple[str, ...], others: tuple[str, ...] = ()) -> None:
    """Let exporting a net, and whatever else walks through its inputs, look into a dataclass as into lists
    and dicts: its fields that hold tensors, and those that do not."""

    def parts(value: Any) -> tuple[list[Any], tuple[Any, ...]]:
        return [getattr(value, name) for name in tensors], tuple(getattr(value, name) for name in others)

    def named(value: Any) -> tuple[list[Any], tuple[Any, ...]]:
        found, rest = parts(value)
        return [(pytree.GetAttrKey(name), part) for name, part in zip(tensors, found, strict=True)], rest

    pytree.register_pytree_node(
        kind,
        parts,
        lambda found, rest: kind(**dict(zip((*tensors, *others), (*found, *(rest or ())), strict=True))),
        serialized_type_name=f"mapsto.{kind.__name__}",
        flatten_with_keys_fn=named,
    )


register_tree(Ragged, ("flat", "lengths"))
register_tree(Padded, ("values", "lengths"), ("counts",))

Field = Tensor | Padded | Ragged | list


@dataclass(frozen=True)
class Batch:
    """Rows as tensors, inputs and targets in two namespaces: no model can see its target.

    size: rows (B); `-> image` has no inputs to count. rows (B,) int64 row numbers in the source. weight (B,)
    float32. present[slot] bool, the target's shape: which labels are known. geometry (B, 2, 3): where places
    of the input that outputs annotate lie in what the net sees, from its own coordinates, extent (B, 2) wide
    and high, through placement and augmentation (`types._geometry`); None where none does. cuts: places at
    which the batch is best cut, because the rows between them are of like length. parts: batches inside this
    one (support/query, two views, a mixup partner); sliced and moved with it when they have its size. Parts
    that belong together, such as an episode's support and query, make one row: size 1 is never cut.
    """

    inputs: Mapping[str, Field]
    targets: Mapping[str, Field]
    size: int
    rows: Tensor | None = None
    weight: Tensor | None = None
    present: Mapping[str, Tensor] = field(default_factory=dict)
    geometry: Tensor | None = None
    extent: Tensor | None = None
    cuts: tuple[int, ...] = ()
    parts: Mapping[str, Batch] = field(default_factory=dict)

    def slice(self, low: int, high: int) -> Batch:
        """Rows low..high as a batch of their own. Parts of the same size are sliced too; parts of another
        size stay whole."""
        cuts = tuple(place - low for place in self.cuts if low < place < high)
        return self._picked(slice(low, high), min(high, self.size) - low, cuts)

    def every(self, first: int, step: int) -> Batch:
        """Rows first, first + step, first + 2 · step … as a batch of their own."""
        before = [len(range(first, place, step)) for place in (*self.cuts, self.size)]
        return self._picked(
            slice(first, None, step),
            before[-1],
            tuple(place for place in before[:-1] if 0 < place < before[-1]),
        )

    def _picked(self, rows: slice, size: int, cuts: tuple[int, ...]) -> Batch:
        parts = {
            name: part._picked(rows, size, ()) if part.size == self.size else part
            for name, part in self.parts.items()
        }
        return replace(self._map(lambda value: value[rows]), size=size, cuts=cuts, parts=parts)

    def pieces(self, most: int) -> list[tuple[int, int]]:
        """[(low, high)]: what goes through a net at once, `most` rows at most; the whole batch where that
        fits and nothing asks for cuts."""
        edges = (0, *self.cuts, max(1, self.size))
        return [
            (low, min(high, low + most))
            for start, high in pairwise(edges)
            for low in range(start, high, most)
        ]

    def to(self, device: torch.device | str) -> Batch:
        def move(value: Field) -> Field:
            if isinstance(value, list):
                return [move(item) for item in value]
            return moved(value, device) if isinstance(value, Tensor) else value.to(device)

        return replace(self._map(move), parts={key: part.to(device) for key, part in self.parts.items()})

    def _map(self, change: Callable[[Any], Any]) -> Batch:
        changed: dict[str, Any] = {}
        for spot in fields(self):
            value = getattr(self, spot.name)
            if spot.name in ("inputs", "targets", "present"):
                changed[spot.name] = {key: change(item) for key, item in value.items()}
            elif spot.name in ("rows", "weight", "geometry", "extent") and value is not None:
                changed[spot.name] = change(value)
        return replace(self, **changed)


class Draw:
    """The random choices for one global batch, made per example and by name.

    Every slot that asks for "flip" gets the same numbers, so a flipped image flips its boxes and its mask.
    Numbers are drawn for the whole global batch and then cut to `low:high`, so ranks and micro-batches do not
    change them.
    """

    def __init__(self, seed: int, step: int, size: int, device: torch.device | str = "cpu"):
        self.seed, self.step, self.size, self.device = seed, step, size, device
        self._drawn: dict[str, Tensor] = {}

    def uniform(self, name: str, *shape: int) -> Tensor:
        """(B, *shape) float32 in [0, 1); the same name always gives the same numbers."""
        if name not in self._drawn:
            generator = torch.Generator().manual_seed(key(self.seed, "draw", name, self.step))
            self._drawn[name] = torch.rand((self.size, *shape), generator=generator)
        return moved(self._drawn[name], self.device)

    @property
    def asked(self) -> bool:
        """Has anything been drawn?"""
        return bool(self._drawn)

    def permutation(self, name: str) -> Tensor:
        """(B,) int64, a random order of the batch's rows."""
        return self.uniform(name).argsort()


class Batches:
    """All that a learner may ask of data: {split: rows}, batches by row, and what is known of rows.
    `mapsto.data.store.Store` is one; so is any stream, which answers what it can.

    groups, weights: of each row of the source, (rows,), where rows come in groups (clients, patients, users)
    or count unequally; else None. few_shapes: have batches so few shapes that compiling a graph for each may
    pay?"""

    device: torch.device = torch.device("cpu")  # where batches are wanted; the trainer says it by `place`
    few_shapes: bool = True
    groups: np.ndarray | None = None
    weights: np.ndarray | None = None

    def place(self, device: torch.device) -> None:
        """Batches are wanted there from now on."""
        self.device = device

    def size(self, split: str) -> int | None:
        """Rows in a split; None when nobody knows, as in an endless stream: such a split is never walked."""
        raise TypeError(f"{type(self).__name__} has no size")

    def rows(self, split: str) -> np.ndarray:
        """(m,) row numbers of a split in the source."""
        raise TypeError(f"{type(self).__name__} has no rows")

    def lengths(self, rows: np.ndarray) -> np.ndarray | None:
        """(m,) how long the rows' cells of unequal length are to a net, together; None where all are
        alike."""
        return None

    def batch(self, rows: np.ndarray, draw: Draw | None = None) -> Batch:
        """Any rows as a batch; augmented when `draw` is given."""
        raise TypeError(f"{type(self).__name__} does not give rows by number")

    def raw(self, rows: np.ndarray, only: Collection[tuple[str, str]] | None = None) -> dict[Any, Any]:
        """Cells of rows as they are stored: {(side, slot): tensor (B, ...), or Ragged}; of the spots in
        `only`, where it is given."""
        raise TypeError(f"{type(self).__name__} does not give rows by number")

    def flat(self, spot: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
        """Cells of unequal length behind each other: (values (N, …), offsets (rows + 1,)), as they lie on
        disk."""
        raise TypeError(f"{type(self).__name__} has no cells of unequal length")

    def joined(self, splits: Collection[str]) -> Batches:
        """The same rows, those of all these splits being "train"."""
        raise TypeError(f"{type(self).__name__} does not join splits")

    def stream(self, split: str, step: int, batch: int, seed: int) -> Iterator[Batch]:
        """Endless shuffled, augmented batches from `step` on: a function of (split, step, batch, seed)
        alone."""
        raise TypeError(f"{type(self).__name__} has no stream")

    def steps_to_probe(self, split: str, batch: int, seed: int) -> tuple[int, int]:
        """Steps of `stream` whose batches take middling and most time and memory; the first where all are
        alike."""
        return 0, 0

    def iterate(self, split: str, batch: int, most: int | None = None) -> Iterator[Batch]:
        """Every row of a split once, in order, not augmented; `most` rows at the most, a keyed sample."""
        raise TypeError(f"{type(self).__name__} has no rows to walk")
