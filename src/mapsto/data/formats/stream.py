"""Streams: a function that gives an iterator of rows, {column: cell}, which may never end. Called again, it
has to give the same rows again: a training that goes on passes over those it has learned from.

The first rows are looked at, divided and kept, so that types are fitted and every figure is of rows that were
held back; behind them each row is learned from once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from mapsto.batch import Batch, Draw
from mapsto.data.encode_chunk import encode_chunk
from mapsto.data.formats import memory
from mapsto.data.offer import Offer
from mapsto.data.store import Store, collate, tensors
from mapsto.errors import DataError
from mapsto.signature import Signature
from mapsto.source import Chunk, Prepared, Source

HEAD = 10_000  # rows that are looked at


def source_of(offer: Offer) -> Source:
    """DataError: no rows."""
    head = list(itertools.islice(offer.data(), HEAD))
    if not head or not all(isinstance(row, Mapping) for row in head):
        raise DataError(
            "expected a function that gives rows, {column: cell}, found none.\nLet it yield dicts."
        )
    held = memory.source_of(Offer(data=head))
    return StreamSource(
        name="stream",
        columns=held.columns,
        fingerprint=held.fingerprint,
        said=[f"a stream: its first {len(head):,} rows are looked at, divided and measured on"],
        make=offer.data,
        head=held,
    )


@dataclass
class StreamSource(Source):
    """make: gives all rows from the first one on; head: the first of them."""

    kind: ClassVar[str] = "stream"
    make: Callable[[], Iterator[Mapping[str, Any]]] = lambda: iter(())
    head: Source | None = None

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        """The head's: all that is ever walked through."""
        assert self.head is not None
        return self.head.chunks(size)

    def prepare(self, asked: str | None, settings: Any, rows: Callable[[Source], Prepared]) -> Prepared:
        assert self.head is not None
        ready = rows(self.head)
        batches = self.batches(ready.signature, ready.types, ready.batches, settings)
        return replace(ready, batches=batches, rows=None)

    def batches(
        self, signature: Signature, types: Mapping[tuple[str, str], Any], store: Any, settings: Any
    ) -> Streamed:
        return Streamed(store, self.make)


class Streamed(Store):
    """The head's rows to measure on, and the stream's to learn from."""

    def __init__(self, store: Store, make: Callable[[], Iterator[Mapping[str, Any]]]):
        vars(self).update(vars(store))
        self.head, self.make = store, make  # the store holds its files while it lives

    def size(self, split: str) -> int | None:  # type: ignore[override]
        """None for training rows, which nobody has counted."""
        return None if split == "train" else super().size(split)

    def stream(self, split: str, step: int, batch: int, seed: int) -> Iterator[Batch]:
        """Every step takes `batch` rows of the stream, those that cannot be read among them."""
        if split != "train":
            yield from super().stream(split, step, batch, seed)
            return
        rows = itertools.islice(self.make(), HEAD + step * batch, None)
        while taken := list(itertools.islice(rows, batch)):
            if made := self._batch(taken, Draw(seed, step, len(taken), self.device)):
                yield made
            step += 1
        raise DataError("the stream has ended before the training.\nGive fewer --steps, or more rows.")

    def _batch(self, taken: list[Mapping[str, Any]], draw: Draw) -> Batch | None:
        columns = {slot.column: [row.get(slot.column) for row in taken] for slot in self.signature.slots}
        chunk = Chunk(columns, [""] * len(taken), [None] * len(taken))
        encoded, problems = encode_chunk(chunk, self.signature, self.types)
        unread = {problem["row"] for problem in problems}
        keep = [i for i in range(len(taken)) if i not in unread]
        if not keep:
            return None
        raw = {
            spot: tensors([cells[i] for i in keep] if isinstance(cells, list) else cells[np.array(keep)])
            for spot, cells in encoded.items()
        }
        made = collate(self.signature, self.types, raw, len(keep), None, None, draw)
        return made if self.device == torch.device("cpu") else made.to(self.device)
