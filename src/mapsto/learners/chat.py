"""Learning to answer: the next token as in `next_token`, of which only the assistant's count (as in Ouyang et
al. 2022, without pairs).

Conversations are put whole into blocks of `max` + 1 tokens, the longest first, each where least room is left
(best-fit decreasing; Ding et al. 2024), so that little is padding and none is cut that would fit. In a block
none sees another: the model looks back to the START of its own text, and positions are relative, so each is
read as it is alone. The blocks are the same in every epoch, their order is not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from mapsto.batch import Batch, Batches
from mapsto.errors import DataError
from mapsto.generation.cached import Cached
from mapsto.generation.sampling import Sampling, following
from mapsto.learners._blocks import Blockwise, Epochs
from mapsto.types.text.tokenizers import ASSISTANT, END, PADDING, START

PIECE = 1 << 20  # stored tokens looked through at once
SAID = 60  # tokens of an answer that is shown while it learns


class Chat(Blockwise):
    """Learn what the assistant says in the one output, which holds conversations."""

    learns = "'chat' learns from conversations alone"
    asked = "messages -> text"

    @cached_property
    def _packed(self) -> dict[str, Packed]:
        return {}

    def blocks(self, split: str, store: Batches | None = None) -> Packed:
        """The blocks of a split; those of the learner's own store are kept."""
        if store is not None and store is not self.store:
            return Packed(store, self.slot, split, self.block + 1)
        if split not in self._packed:
            assert self.store is not None
            self._packed[split] = Packed(self.store, self.slot, split, self.block + 1)
        return self._packed[split]

    def size(self, split: str, store: Batches | None = None) -> int:
        """Blocks in a split."""
        return len(self.blocks(split, store))

    def batches(self, split: str, step: int) -> Iterator[Batch]:
        packed, size = self.blocks("train"), self.training.batch or 1
        if not len(packed):
            raise DataError(
                f"'{self.slot}': expected conversations to train on, found none.\nSee quarantine.csv for rows"
                " that could not be read."
            )
        order = Epochs(len(packed), self.training.seed)
        while True:
            yield self.batch(packed, order.take(step * size, size))
            step += 1

    def batch_of(self, store: Batches, rows: np.ndarray) -> Batch:
        """A block for each of the rows."""
        packed = Packed(store, self.slot, "", self.block + 1)
        return self.batch(packed, rows % max(1, len(packed)))

    def sample_text(self) -> str:
        """Its likeliest answer to the first words of the first validation conversation."""
        packed = self.blocks("validation")
        if not len(packed):
            return ""
        tokens = packed.stored(np.zeros(1, np.int64))[0] >> 1
        asked = tokens[: int((tokens == ASSISTANT).argmax()) + 1].astype(np.int64)
        how = Sampling(tokens=SAID, temperature=0.0)
        writer = Cached(self.model.eval(), self.device)
        return "".join(added[0] for added in following(writer, self.column_type, asked, [0], how, END))


class Packed:
    """The windows of a split's conversations in blocks of `capacity` tokens; a place is a block's number.
    split "": of all rows."""

    def __init__(self, store: Batches, slot: str, split: str, capacity: int):
        self.store, self.capacity, self.length = store, capacity, capacity - 1
        self.values, offsets = store.flat(("output", slot))
        starts = [
            low + np.flatnonzero(self.values[low : low + PIECE] >> 1 == START)
            for low in range(0, len(self.values), PIECE)
        ]
        first = np.concatenate(starts) if starts else np.empty(0, np.int64)  # (windows,): where they begin
        lengths = np.diff(np.append(first, len(self.values)))
        row = np.searchsorted(offsets, first, side="right") - 1
        if split:
            used = np.zeros(len(offsets) - 1, bool)
            used[store.rows(split)] = True
            first, lengths, row = first[used[row]], lengths[used[row]], row[used[row]]
        block = best_fit(lengths, capacity)
        order = np.argsort(block, kind="stable")
        self.first, self.lengths, self.row, self.block = (
            first[order],
            lengths[order],
            row[order],
            block[order],
        )
        self.ends = np.searchsorted(
            self.block, np.arange(1 + (int(self.block[-1]) + 1 if len(order) else 0))
        )  # (blocks + 1,): of their windows

    def __len__(self) -> int:
        return len(self.ends) - 1

    @property
    def block_starts(self) -> np.ndarray:
        return np.arange(len(self))

    def take(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int64 (B, T) each: all but the last token are given; of all but the first those to be learned are
        said."""
        found = self.stored(places)
        tokens = found >> 1
        return tokens[:, :-1], np.where(found & 1, tokens, PADDING)[:, 1:]

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        step = max(1, PIECE // self.length)
        for low in range(0, len(self), step):
            condition, said = self.take(self.block_starts[low : low + step])
            yield condition[said != PADDING], said[said != PADDING]

    def stored(self, blocks: np.ndarray) -> np.ndarray:
        """(B, capacity) int64: the stored values of each block, 0 beyond its windows."""
        counts = self.ends[blocks + 1] - self.ends[blocks]
        of = np.repeat(np.arange(len(blocks)), counts)  # of each window, which of the blocks
        window = (
            np.arange(counts.sum())
            - np.repeat(counts.cumsum() - counts, counts)
            + np.repeat(self.ends[blocks], counts)
        )
        lengths = self.lengths[window]
        before = lengths.cumsum() - lengths  # of each window, tokens of all before it
        inside = before - np.repeat(before[counts.cumsum() - counts], counts)  # and of those in its block
        within = np.arange(lengths.sum()) - np.repeat(before, lengths)
        found = np.zeros((len(blocks), self.capacity), np.int64)
        found[np.repeat(of, lengths), np.repeat(inside, lengths) + within] = self.values[
            np.repeat(self.first[window], lengths) + within
        ]
        return found

    def rows_at(self, places: np.ndarray) -> np.ndarray:
        """(B,) int64: the row of each block's first window."""
        return self.row[self.ends[places]]


def best_fit(lengths: np.ndarray, capacity: int) -> np.ndarray:
    """(n,) int64: the block of each length, the longest first, each where least is left that suffices."""
    block = np.empty(len(lengths), np.int64)
    left: dict[int, list[int]] = {}  # tokens left -> blocks that have so many
    sizes: list[int] = []  # the keys, in order
    blocks = 0
    for place in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[place])
        at = bisect_left(sizes, length)
        if at == len(sizes):
            number, rest, blocks = blocks, capacity - length, blocks + 1
        else:
            number, rest = left[sizes[at]].pop(), sizes[at] - length
            if not left[sizes[at]]:
                del left[sizes[at]], sizes[at]
        if rest not in left:
            left[rest] = []
            sizes.insert(bisect_left(sizes, rest), rest)
        left[rest].append(number)
        block[place] = number
    return block
