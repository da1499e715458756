"""What a step learns from: rows as tensors, and the random choices made for them.

Letters: B batch, T time, C channels, D width, H W image, K classes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Padded:
    """Sequences of unequal length. values (B, T, ...), lengths (B,) int64."""

    values: Tensor
    lengths: Tensor

    def __getitem__(self, rows: slice) -> Padded:
        return Padded(self.values[rows], self.lengths[rows])

    def to(self, device: torch.device | str) -> Padded:
        return Padded(self.values.to(device), self.lengths.to(device))

    @property
    def mask(self) -> Tensor:
        """(B, T) bool, true where there is a value."""
        return torch.arange(self.values.shape[1], device=self.lengths.device) < self.lengths[:, None]


Field = Tensor | Padded | list


@dataclass(frozen=True)
class Batch:
    """Rows as tensors, inputs and targets in two namespaces: no model can see its target.

    size: rows (B); `-> image` has no inputs to count. rows (B,) int64 row numbers in the source. weight (B,) float32.
    present[slot] bool, the target's shape: which labels are known. geometry: per-row transform back to the original
    pixels. parts: batches inside this one (support/query, two views, a mixup partner); sliced and moved with it when they
    have its size. Parts that belong together, such as an episode's support and query, make one row: size 1 is never cut.
    """

    inputs: Mapping[str, Field]
    targets: Mapping[str, Field]
    size: int
    rows: Tensor | None = None
    weight: Tensor | None = None
    present: Mapping[str, Tensor] = field(default_factory=dict)
    geometry: Tensor | None = None
    parts: Mapping[str, Batch] = field(default_factory=dict)

    def slice(self, low: int, high: int) -> Batch:
        """Rows low..high as a batch of their own. Parts of the same size are sliced too; parts of another size stay whole."""

        def cut(part: Batch) -> Batch:
            return part.slice(low, high) if part.size == self.size else part

        rows = slice(low, high)
        return replace(self._map(lambda value: value[rows]), size=min(high, self.size) - low, parts={k: cut(v) for k, v in self.parts.items()})

    def to(self, device: torch.device | str) -> Batch:
        def move(value: Field) -> Field:
            return [move(item) for item in value] if isinstance(value, list) else value.to(device)

        return replace(self._map(move), parts={key: part.to(device) for key, part in self.parts.items()})

    def _map(self, change: Callable[[Any], Any]) -> Batch:
        changed: dict[str, Any] = {}
        for spot in fields(self):
            value = getattr(self, spot.name)
            if spot.name in ("inputs", "targets", "present"):
                changed[spot.name] = {key: change(item) for key, item in value.items()}
            elif spot.name in ("rows", "weight", "geometry") and value is not None:
                changed[spot.name] = change(value)
        return replace(self, **changed)


def key(*parts: Any) -> int:
    """A 63-bit seed that is a function of its parts alone: the same on every machine and in every process."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Draw:
    """The random choices for one global batch, made per example and by name.

    Every slot that asks for "flip" gets the same numbers, so a flipped image flips its boxes and its mask. Numbers are drawn
    for the whole global batch and then cut to `low:high`, so ranks and micro-batches do not change them.
    """

    def __init__(self, seed: int, step: int, size: int, device: torch.device | str = "cpu"):
        self.seed, self.step, self.size, self.device = seed, step, size, device
        self._drawn: dict[str, Tensor] = {}

    def uniform(self, name: str, *shape: int) -> Tensor:
        """(B, *shape) float32 in [0, 1); the same name always gives the same numbers."""
        if name not in self._drawn:
            generator = torch.Generator().manual_seed(key(self.seed, "draw", name, self.step))
            self._drawn[name] = torch.rand((self.size, *shape), generator=generator)
        return self._drawn[name].to(self.device)

    def permutation(self, name: str) -> Tensor:
        """(B,) int64, a random order of the batch's rows."""
        return self.uniform(name).argsort()
