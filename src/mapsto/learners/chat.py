"""Learning to answer: the next token as in `next_token`, of which only the assistant's count (as in Ouyang et al. 2022, without pairs).

Conversations are put whole into blocks of `max` + 1 tokens, the longest first, each where least room is left (best-fit decreasing; Ding et
al. 2024), so that little is padding and none is cut that would fit. In a block none sees another: the model looks back to the START of its own
text, and positions are relative, so each is read as it is alone. The blocks are the same in every epoch, their order is not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Batch, key, moved
from mapsto.errors import ConfigError, DataError
from mapsto.generate import Sampling, following
from mapsto.learners.base import Batches, Collected, Learner, Logs
from mapsto.learners.next_token import LOOKED, MEASURED, at_once, frequencies
from mapsto.tokens import ASSISTANT, END, PADDING, START

PIECE = 1 << 20  # stored tokens looked through at once
SAID = 60  # tokens of an answer that is shown while it learns


class Chat(Learner):
    """Learn what the assistant says in the one output, which holds conversations."""

    packs = True
    ahead = True

    @cached_property
    def slot(self) -> str:
        if self.signature.inputs or len(self.signature.outputs) != 1:
            raise ConfigError(f"learner 'chat' learns from conversations alone, got '{self.signature}'.\nWrite: messages -> text.")
        return self.signature.outputs[0].name

    @property
    def block(self) -> int:
        """Tokens read at once."""
        return self.types["output", self.slot].most  # type: ignore[attr-defined]

    @cached_property
    def _packed(self) -> dict[str, Packed]:
        return {}

    def packed(self, split: str, store: Batches | None = None) -> Packed:
        """The blocks of a split; those of the learner's own store are kept."""
        if store is not None and store is not self.store:
            return Packed(store, self.slot, split, self.block + 1)
        if split not in self._packed:
            assert self.store is not None
            self._packed[split] = Packed(self.store, self.slot, split, self.block + 1)
        return self._packed[split]

    def size(self, split: str, store: Batches | None = None) -> int:
        """Blocks in a split."""
        return len(self.packed(split, store))

    @property
    def looked(self) -> int:
        return max(1, LOOKED // self.block)

    @property
    def few_shapes(self) -> bool:
        return True  # all blocks are of one length

    # ---- training ----

    def batches(self, split: str, step: int) -> Iterator[Batch]:
        packed, size = self.packed("train"), self.training.batch or 1
        if not len(packed):
            raise DataError(f"'{self.slot}': expected conversations to train on, found none.\nSee quarantine.csv for rows that could not be read.")
        orders: dict[int, np.ndarray] = {}
        while True:
            places = np.arange(step * size, step * size + size)
            epochs = (places // len(packed)).tolist()
            orders = {epoch: orders[epoch] if epoch in orders else self._order(epoch, len(packed)) for epoch in sorted(set(epochs))}
            yield self._batch(packed, np.array([orders[e][p] for e, p in zip(epochs, (places % len(packed)).tolist(), strict=True)]))
            step += 1

    def _order(self, epoch: int, blocks: int) -> np.ndarray:
        return np.random.default_rng(key(self.training.seed, "blocks", epoch)).permutation(blocks)

    def probes(self) -> tuple[Batch, Batch]:
        batch = next(self.batches("train", 0))  # all blocks are of one size
        return batch, batch

    def _batch(self, packed: Packed, blocks: np.ndarray) -> Batch:
        """Blocks as tokens: all but the last are given; of all but the first those to be learned are said, PADDING stands for the others."""
        found = packed.take(blocks)
        tokens = found >> 1
        said = np.where(found & 1, tokens, PADDING)[:, 1:]
        device = packed.store.device
        given, targets, rows = (moved(torch.from_numpy(np.ascontiguousarray(one)), device) for one in (tokens[:, :-1], said, packed.rows_of(blocks)))
        return Batch({self.slot: given}, {self.slot: targets}, len(blocks), rows)

    def given(self, batch: Batch) -> Tensor:
        return batch.inputs[self.slot]  # type: ignore[return-value]

    def outputs(self, batch: Batch) -> dict[str, Tensor]:
        return self.model({}, given=self.given(batch), size=batch.size)

    def loss(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        output = self.outputs(batch)[self.slot]
        ((_, head),) = self.model.heads.items()  # type: ignore[union-attr, operator]
        return head.loss(output, batch.targets[self.slot]), {}

    # ---- measuring ----

    @torch.no_grad()
    def arrays(self, batch: Batch) -> dict[str, dict[str, np.ndarray]]:
        """{slot: {"nats": (B,)}}: of each block the sum over the assistant's tokens."""
        self.model.eval()
        with self.autocast:
            (nats, _), _ = self.loss(self.ready(batch))
        return {self.slot: {"nats": nats.float().cpu().numpy()}}

    def walk(self, split: str, most: int | None = None, store: Batches | None = None) -> Iterator[Batch]:
        """The blocks of a split, all or `most` of them evenly spread."""
        packed = self.packed(split, store)
        size = at_once(self.evaluation_batch, self.block, self.types["output", self.slot].vocabulary_size)  # type: ignore[attr-defined]
        chosen = self._chosen(packed, most)
        for low in range(0, len(chosen), size):
            yield self._batch(packed, chosen[low : low + size])

    def _chosen(self, packed: Packed, most: int | None) -> np.ndarray:
        most = max(1, MEASURED // self.block) if most is None else most
        return np.arange(len(packed)) if len(packed) <= most else np.linspace(0, len(packed) - 1, most).astype(np.int64)

    def collect(self, split: str, most: int | None = None, store: Batches | None = None) -> Collected:
        """Blocks as rows; their row number is that of their first conversation."""
        batches = [(batch.targets[self.slot], batch.rows, self.arrays(batch)[self.slot]["nats"]) for batch in self.walk(split, most, store)]
        target, rows, nats = (np.concatenate([np.asarray(torch.as_tensor(one[i]).cpu()) for one in batches]) for i in range(3))
        return Collected({self.slot: {"nats": nats}}, {self.slot: target}, {self.slot: np.ones(len(nats), bool)}, rows)

    def batch_of(self, store: Batches, rows: np.ndarray) -> Batch:
        """A block for each of the rows."""
        packed = Packed(store, self.slot, "", self.block + 1)
        return self._batch(packed, rows % max(1, len(packed)))

    def simple(self, split: str) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """What the frequencies of tokens, and of pairs of them, in the assistant's training words are worth on its words."""
        packed = self.packed(split)
        found = packed.take(self._chosen(packed, None))
        single, double = frequencies(self._learned(), found >> 1, self.types["output", self.slot].vocabulary_size)  # type: ignore[attr-defined]
        learned = found[:, 1:] & 1
        return {self.slot: {"unigram": {"nats": (single * learned).sum(1)}, "bigram": {"nats": (double * learned).sum(1)}}}

    def _learned(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(tokens before, tokens learned) of the training blocks, piece by piece."""
        packed = self.packed("train")
        step = max(1, PIECE // self.block)
        for low in range(0, len(packed), step):
            found = packed.take(np.arange(low, min(low + step, len(packed))))
            learned = (found[:, 1:] & 1).astype(bool)
            yield (found[:, :-1] >> 1)[learned], (found[:, 1:] >> 1)[learned]

    def said_at_look(self) -> str:
        """Its likeliest answer to the first words of the first validation conversation."""
        packed = self.packed("validation")
        if not len(packed):
            return ""
        tokens = packed.take(np.zeros(1, np.int64))[0] >> 1
        asked = tokens[: int((tokens == ASSISTANT).argmax()) + 1].astype(np.int64)
        how, room = Sampling(tokens=SAID, temperature=0.0), self.types["output", self.slot]
        model: Any = self.model.eval()
        return "".join(added[0] for added in following(model, room, asked, [0], how, self.device, end=END))


class Packed:
    """The windows of a split's conversations in blocks of `capacity` tokens. split "": of all rows."""

    def __init__(self, store: Batches, slot: str, split: str, capacity: int):
        self.store, self.capacity = store, capacity
        self.values, offsets = store.flat(("output", slot))
        starts = [low + np.flatnonzero(self.values[low : low + PIECE] >> 1 == START) for low in range(0, len(self.values), PIECE)]
        first = np.concatenate(starts) if starts else np.empty(0, np.int64)  # (windows,): where they begin
        lengths = np.diff(np.append(first, len(self.values)))
        row = np.searchsorted(offsets, first, side="right") - 1
        if split:
            used = np.zeros(len(offsets) - 1, bool)
            used[store.rows(split)] = True
            first, lengths, row = first[used[row]], lengths[used[row]], row[used[row]]
        block = best_fit(lengths, capacity)
        order = np.argsort(block, kind="stable")
        self.first, self.lengths, self.row, self.block = first[order], lengths[order], row[order], block[order]
        self.ends = np.searchsorted(self.block, np.arange(1 + (int(self.block[-1]) + 1 if len(order) else 0)))  # (blocks + 1,): of their windows

    def __len__(self) -> int:
        return len(self.ends) - 1

    def take(self, blocks: np.ndarray) -> np.ndarray:
        """(B, capacity) int64: the stored values of each block, 0 beyond its windows."""
        counts = self.ends[blocks + 1] - self.ends[blocks]
        of = np.repeat(np.arange(len(blocks)), counts)  # of each window, which of the blocks
        window = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts) + np.repeat(self.ends[blocks], counts)
        lengths = self.lengths[window]
        before = lengths.cumsum() - lengths  # of each window, tokens of all before it
        inside = before - np.repeat(before[counts.cumsum() - counts], counts)  # and of those in its block
        within = np.arange(lengths.sum()) - np.repeat(before, lengths)
        found = np.zeros((len(blocks), self.capacity), np.int64)
        found[np.repeat(of, lengths), np.repeat(inside, lengths) + within] = self.values[np.repeat(self.first[window], lengths) + within]
        return found

    def rows_of(self, blocks: np.ndarray) -> np.ndarray:
        """(B,) int64: the row of each block's first window."""
        return self.row[self.ends[blocks]]


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
