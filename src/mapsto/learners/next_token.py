"""Learning to say what comes next: a text is its own teacher (Shannon 1948; Radford et al. 2019).

The training texts stand behind each other as one stream of tokens, each document begun by a START. A step
reads blocks of `max` + 1 tokens: all but the last are given, all but the first are to be said. An epoch is a
random permutation of the blocks of the whole stream behind a random shift, so that every token is learned
once and blocks begin elsewhere each time. A block may hold the end of one document and the beginning of the
next; as in nanoGPT attention looks across, and START says that it should not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from mapsto.batch import Batch, Batches
from mapsto.config import setting
from mapsto.errors import DataError
from mapsto.generation.cached import Cached
from mapsto.generation.sampling import Sampling, texts
from mapsto.learners._blocks import Blockwise, Epochs

COUNTED, PIECE = 20_000_000, 1 << 20  # training tokens that frequencies are counted on, and how many at once
SAID = 100  # tokens that are shown while it learns


class NextToken(Blockwise):
    """Learn the one text right of the arrow, given nothing."""

    @dataclass(frozen=True)
    class Sampling(Sampling):
        """How texts are drawn, and how they begin."""

        prompt: str = setting("", "how each text begins")

    learns = "'next_token' learns one text by itself"
    asked = "-> text"

    def blocks(self, split: str, store: Batches | None = None) -> Stream:
        store = store or self.store
        assert store is not None
        return Stream(store, self.slot, split, self.block)

    @cached_property
    def _train(self) -> Stream:
        stream = self.blocks("train")
        if len(stream) <= self.block:
            raise DataError(
                f"'{self.slot}': expected more than {self.block} tokens to train on, found {len(stream)}.\n"
                f"Give more text, or learn fewer at once: {self.slot}:text(max={max(1, len(stream) // 8)})."
            )
        return stream

    def size(self, split: str, store: Batches | None = None) -> int:
        """Blocks in a split: an epoch's, or those that evaluation walks."""
        if split == "train" and store is None:
            return len(self._train) // self.block - 1 or 1
        return len(self.blocks(split, store).block_starts)

    def batches(self, split: str, step: int) -> Iterator[Batch]:
        stream, blocks, size = self._train, self.size("train"), self.training.batch or 1
        order = Epochs(
            blocks, self.training.seed, self.block, min(self.block, len(stream) - blocks * self.block)
        )
        while True:
            yield self.batch(stream, order.take(step * size, size))
            step += 1

    def batch_of(self, store: Batches, rows: np.ndarray) -> Batch:
        """A block that begins at each of the rows, or so near the end that it is whole."""
        values, offsets = store.flat(("output", self.slot))
        length = min(self.block, len(values) - 1)
        starts = np.minimum(offsets[rows], len(values) - length - 1)
        tokens = torch.from_numpy(values[starts[:, None] + np.arange(length + 1)].astype(np.int64)).to(
            store.device
        )
        return Batch(
            {self.slot: tokens[:, :-1]}, {self.slot: tokens[:, 1:]}, len(rows), torch.from_numpy(rows)
        )

    def sample(self, n: int, options: Any) -> dict[str, list[str]]:
        """Texts, written at the same time."""
        writer, prompt = Cached(self.model.eval(), self.device), options.prompt
        steps = texts(writer, self.column_type, prompt, range(n), options)
        return {self.slot: [prompt + "".join(added) for added in zip(*steps, strict=True)]}

    def sample_text(self) -> str:
        """The beginning of what it would write."""
        how, writer = Sampling(tokens=SAID), Cached(self.model.eval(), self.device)
        return "".join(added[0] for added in texts(writer, self.column_type, "", [0], how))


class Stream:
    """The tokens of a split, one document behind the other, as they lie in the store's memory map; a place is
    where a block of `block` tokens begins in it. A shorter text is one short block."""

    def __init__(self, store: Batches, slot: str, split: str, block: int):
        self.store, self.block = store, block
        self.values, offsets = store.flat(("output", slot))
        self.rows = store.rows(split)
        starts, lengths = offsets[self.rows], offsets[self.rows + 1] - offsets[self.rows]
        self.ends = np.cumsum(lengths)  # (rows,) in the stream
        apart = np.ones(len(self.rows), bool)
        apart[1:] = starts[1:] != starts[:-1] + lengths[:-1]  # rows that lie behind each other are one run
        self.begins = (self.ends - lengths)[apart]  # (runs,) in the stream
        self.starts = starts[apart]  # and in the values

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    @property
    def length(self) -> int:
        return min(self.block, len(self) - 1)

    @property
    def block_starts(self) -> np.ndarray:
        return (
            np.arange((len(self) - 1) // self.length) * self.length
            if self.length > 0
            else np.empty(0, np.int64)
        )

    def take(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int64 (B, T) each: all but the last token of each block are given, all but the first to be said."""
        tokens = self.tokens(places, self.length + 1)
        return tokens[:, :-1], tokens[:, 1:]

    def tokens(self, starts: np.ndarray, length: int) -> np.ndarray:
        """(B, length) int64: the tokens from each of `starts` (B,) on."""
        at = starts[:, None] + np.arange(length)
        run = np.searchsorted(self.begins, at, side="right") - 1 if len(self.begins) > 1 else 0
        return self.values[at - self.begins[run] + self.starts[run]].astype(np.int64)

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(tokens before, tokens behind), piece by piece, of at most COUNTED tokens."""
        for low in range(0, min(len(self) - 1, COUNTED), PIECE):
            tokens = self.tokens(np.array([low]), min(PIECE, len(self) - 1 - low) + 1)[0]
            yield tokens[:-1], tokens[1:]

    def rows_at(self, places: np.ndarray) -> np.ndarray:
        return self.rows[np.searchsorted(self.ends, places, side="right")]
