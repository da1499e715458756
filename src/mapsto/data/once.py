"""Files that are one cell each are read once for a training: what scanning has read to know equal ones by
their hash, encoding decodes, as far as memory allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from mapsto.cells import Blob
from mapsto.source import Chunk, Source
from mapsto.training.memory import allowed

MOST, SHARE = 1 << 30, 0.125  # bytes kept at most, and of the memory there is


@dataclass
class Kept:
    """The bytes of files by their path, up to `space_left` of them; later files are read again."""

    space_left: int
    held: dict[str, bytes] = field(default_factory=dict)

    def read(self, blob: Blob) -> bytes:
        if (data := self.held.get(blob.path)) is None:
            data = blob.read()
            if len(data) <= self.space_left:
                self.held[blob.path] = data
                self.space_left -= len(data)
        return data

    def forget(self) -> None:
        """Nothing is kept from now on."""
        self.space_left = 0
        self.held.clear()


@dataclass(frozen=True)
class KeptBlob(Blob):
    """A file whose bytes are kept once they have been read."""

    kept: Kept = field(default_factory=lambda: Kept(0), compare=False, repr=False)

    def read(self) -> bytes:
        return self.kept.read(Blob(self.path, self.name, self.within))


@dataclass
class ReadOnce(Source):
    """A source whose files are kept between its passes."""

    inner: Source | None = None
    kept: Kept = field(default_factory=lambda: Kept(0))

    @classmethod
    def of(cls, source: Source) -> ReadOnce:
        limit = int(min(MOST, SHARE * allowed(torch.device("cpu"))))
        shown = {each.name: getattr(source, each.name) for each in fields(Source)}
        return cls(**shown, inner=source, kept=Kept(limit))

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        assert self.inner is not None
        for chunk in self.inner.chunks(size):
            columns: Mapping[str, Any] = {name: self._kept(cells) for name, cells in chunk.columns.items()}
            yield Chunk(columns, chunk.where, chunk.split, chunk.bad)

    def _kept(self, cells: Any) -> Any:
        if not len(cells) or type(cells[0]) is not Blob:
            return cells
        return [
            KeptBlob(cell.path, cell.name, cell.within, self.kept) if type(cell) is Blob else cell
            for cell in cells
        ]

    def forget(self) -> None:
        self.kept.forget()
