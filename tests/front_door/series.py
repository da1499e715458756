"""A series over time: each row is a window of it, whose first values are given and whose last are learned.

Letters: B batch, P past values, A values ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.batch import Draw
from mapsto.cells import Column, is_missing
from mapsto.config import setting
from mapsto.errors import CellError
from mapsto.metrics import Metric, mean_of
from mapsto.outputs.base import Head, Output
from mapsto.prediction import Prediction
from mapsto.signature import Signature, Slot
from mapsto.source import Chunk, Source
from mapsto.types.base import DataType, Layout, learned


@dataclass
class Windows(Source):
    """Each `ahead` rows of a source a window ends, and what comes behind it is a column of its own; of the last window nothing has come yet.
    Other columns keep what stands where a window ends."""

    inner: Source | None = None
    column: str = ""
    future: str = ""
    past: int = 8
    ahead: int = 2

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        cells: dict[str, list] = {name: [] for name in self.inner.columns}
        where: list[str] = []
        for chunk in self.inner.chunks():
            where += chunk.where
            for name, held in cells.items():
                held += chunk.columns[name]
        values, ends = cells[self.column], range(self.past, len(where) + 1, self.ahead)
        columns = {name: [held[end - 1] for end in ends] for name, held in cells.items()}
        columns[self.column] = [values[end - self.past : end] for end in ends]
        columns[self.future] = [values[end : end + self.ahead] for end in ends]
        places = [where[end - 1] for end in ends]
        for low in range(0, len(ends), size):
            yield Chunk({name: held[low : low + size] for name, held in columns.items()}, places[low : low + size], [None] * len(places[low : low + size]))


@dataclass(frozen=True)
class Series(DataType):
    """Values over time. Read value: float32 (n,). Stored: (P,) left of the arrow, (A,) right of it, nan where they have not come yet."""

    outputs: ClassVar[tuple[str, ...]] = ("ahead",)
    reading: ClassVar[tuple[str, ...]] = ("past", "ahead", "side")

    past: int = setting(8, "values that are given", above=0)
    ahead: int = setting(2, "values that are learned", above=0)
    side: str = learned("input")
    mean: float = learned(0.0)
    std: float = learned(1.0)

    @classmethod
    def arrange(cls, source: Source, slot: Slot | None, signature: Signature | None) -> Source:
        if slot is None or signature is None or slot not in signature.inputs or slot.name not in source.columns:
            return source
        sizes = cls.with_options("series", slot.options)
        future = signature.outputs[0].name
        return Windows(name=source.name, columns=(*source.columns, future), future=future, fingerprint=f"{source.fingerprint}:{sizes.past},{sizes.ahead}",
                       locations=source.locations, inner=source, column=slot.name, past=sizes.past, ahead=sizes.ahead)

    @classmethod
    def sniff(cls, column: Column) -> float:
        return 0.0

    def read(self, cell: Any) -> np.ndarray | None:
        if not isinstance(cell, (list, tuple, np.ndarray)):
            raise CellError("expected a window of numbers.\nGive rows in the order of time.")
        return np.array([np.nan if is_missing(value) else float(value) for value in cell], np.float32)

    def fit(self, values: Sequence[np.ndarray | None], spec: Mapping[str, Any]) -> Self:
        known = np.concatenate([value for value in values if value is not None])
        return replace(self, side=spec["side"], mean=float(np.nanmean(known)), std=float(np.nanstd(known)) or 1.0)

    @property
    def layout(self) -> Layout:
        return Layout("float32", (self.size,))

    @property
    def size(self) -> int:
        return self.past if self.side == "input" else self.ahead

    def encode(self, value: np.ndarray | None) -> np.ndarray:
        found = np.full(self.size, np.nan, np.float32)
        found[: 0 if value is None else len(value)] = [] if value is None else value
        return found

    def collate(self, arrays: Tensor, draw: Draw | None) -> Tensor:
        return torch.nan_to_num((arrays - self.mean) / self.std)

    def present(self, arrays: Tensor) -> Tensor:
        return ~arrays.isnan().any(1)

    def stem(self, width: int | None) -> nn.Module:
        return Stem(self.past, width)

    def output(self, kind: str | None = None) -> Output:
        return Forecast(self)


@dataclass(frozen=True)
class Forecast(Output):
    """The values that come next. Predicted: value (n, A)."""

    fields: ClassVar[tuple[str, ...]] = ("value",)

    def head(self, width: int) -> Head:
        return Ahead(width, self.type.ahead, self.type.mean, self.type.std)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        def distance(found: Mapping[str, np.ndarray], target: np.ndarray) -> np.ndarray:
            return np.abs(found["value"] - (target * self.type.std + self.type.mean)).mean(1, keepdims=True)

        return (Metric("mae", "Mean distance of what was forecast and what came.", distance, mean_of, higher_is_better=False),)


class Stem(nn.Module):
    """(B, P) -> as it is, or one token (B, 1, width)."""

    def __init__(self, past: int, width: int | None):
        super().__init__()
        self.gives = "pooled" if width is None else "tokens"
        self.linear = nn.Identity() if width is None else nn.Linear(past, width)

    def forward(self, values: Tensor) -> Tensor:
        return self.linear(values) if self.gives == "pooled" else self.linear(values)[:, None]


class Ahead(Head):
    """All values at once, squared error."""

    def __init__(self, width: int, ahead: int, mean: float, std: float):
        super().__init__()
        self.linear, self.mean, self.std = nn.Linear(width, ahead), mean, std

    def forward(self, hidden: Tensor) -> Tensor:
        return self.linear(hidden)                                             # (B, A)

    def loss(self, output: Tensor, target: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        known = torch.ones(len(target)) if present is None else present.float()
        return known * (output - target).square().mean(1), known

    def predict(self, output: Tensor, options: Any = None) -> dict[str, Tensor]:
        return {"value": output.float() * self.std + self.mean}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        return [Prediction([round(float(value), 4) for value in row]) for row in predicted["value"]]
