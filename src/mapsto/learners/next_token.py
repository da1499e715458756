"""Learning to say what comes next: a text is its own teacher (Shannon 1948; Radford et al. 2019).

The training texts stand behind each other as one stream of tokens, each document begun by a START. A step reads blocks of `max` + 1
tokens: all but the last are given, all but the first are to be said. An epoch is a random permutation of the blocks of the whole
stream behind a random shift, so that every token is learned once and blocks begin elsewhere each time. A block may hold the end of one
document and the beginning of the next; as in nanoGPT attention looks across, and START says that it should not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Batch, key, moved
from mapsto.errors import ConfigError, DataError
from mapsto.generate import Sampling, texts
from mapsto.learners.base import Batches, Collected, Learner, Logs

LOOKED = 16_384  # tokens that are enough for a look while it learns
MEASURED = 400_000  # tokens of a split that are measured at most, in blocks evenly spread
COUNTED, PIECE = 20_000_000, 1 << 20  # training tokens that frequencies are counted on, and how many at once
BELIEF = 5.0
SAID = 100  # tokens that are shown while it learns
AT_ONCE = 8_192  # tokens per forward pass where nothing is kept for a backward pass, at least
LOGITS = 1 << 26  # that are held at once meanwhile: 8,192 tokens of 16,384 each took 1.6 GB


class NextToken(Learner):
    """Learn the one text right of the arrow, given nothing."""

    packs = True
    ahead = True

    @cached_property
    def slot(self) -> str:
        if self.signature.inputs or len(self.signature.outputs) != 1:
            raise ConfigError(f"learner 'next_token' learns one text by itself, got '{self.signature}'.\nWrite: -> text.")
        return self.signature.outputs[0].name

    @property
    def block(self) -> int:
        """Tokens read at once."""
        return self.types["output", self.slot].most  # type: ignore[attr-defined]

    @cached_property
    def _train(self) -> Stream:
        assert self.store is not None
        stream = Stream(self.store, self.slot, "train")
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
        return self._walked(Stream(store or self.store, self.slot, split))[1]  # type: ignore[arg-type]

    @property
    def looked(self) -> int:
        return max(1, LOOKED // self.block)

    @property
    def few_shapes(self) -> bool:
        return True  # all blocks are of one length

    # ---- training ----

    def batches(self, split: str, step: int) -> Iterator[Batch]:
        stream, blocks, size = self._train, self.size("train"), self.training.batch or 1
        order = _Shifted(blocks, min(self.block, len(stream) - blocks * self.block), self.block, self.training.seed)
        while True:
            yield self._batch(stream, order.take(step * size, size), self.block)
            step += 1

    def probes(self) -> tuple[Batch, Batch]:
        batch = next(self.batches("train", 0))  # all blocks are of one size
        return batch, batch

    def _batch(self, stream: Stream, starts: np.ndarray, length: int) -> Batch:
        """Blocks (B, length + 1) of the stream: all but the last token are given, all but the first to be said."""
        tokens = moved(torch.from_numpy(stream.take(starts, length + 1)), stream.store.device)
        rows = moved(torch.from_numpy(stream.rows_at(starts)), stream.store.device)
        return Batch({self.slot: tokens[:, :-1]}, {self.slot: tokens[:, 1:]}, len(starts), rows)

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
        """{slot: {"nats": (B,)}}: of each block the sum over its tokens."""
        self.model.eval()
        with self.autocast:
            (nats, _), _ = self.loss(self.ready(batch))
        return {self.slot: {"nats": nats.float().cpu().numpy()}}

    def walk(self, split: str, most: int | None = None, store: Batches | None = None) -> Iterator[Batch]:
        """The full blocks of a split, one behind the other: all, or `most` of them evenly spread. A shorter text is one short block."""
        stream = Stream(store or self.store, self.slot, split)  # type: ignore[arg-type]
        starts, length = self._starts(stream, most)
        size = at_once(self.evaluation_batch, length, self.types["output", self.slot].vocabulary_size)  # type: ignore[attr-defined]
        for low in range(0, len(starts), size):
            yield self._batch(stream, starts[low : low + size], length)

    def _starts(self, stream: Stream, most: int | None) -> tuple[np.ndarray, int]:
        """(n,) where the blocks of `walk` begin, and the tokens said in each."""
        length, blocks = self._walked(stream)
        most = max(1, MEASURED // max(1, length)) if most is None else most
        chosen = np.arange(blocks) if blocks <= most else np.linspace(0, blocks - 1, most).astype(np.int64)
        return chosen * length, length

    def collect(self, split: str, most: int | None = None, store: Batches | None = None) -> Collected:
        """Blocks as rows. Nothing small is kept while logits come and go: it would cut the heap into pieces (14 GB for 3 million tokens)."""
        stream = Stream(store or self.store, self.slot, split)  # type: ignore[arg-type]
        starts, length = self._starts(stream, most)
        nats, done = np.empty(len(starts), np.float32), 0
        for batch in self.walk(split, most, store):
            nats[done : done + batch.size] = self.arrays(batch)[self.slot]["nats"]
            done += batch.size
        target = stream.take(starts, length + 1)[:, 1:].astype(stream.values.dtype)
        known = np.ones(len(starts), bool)
        return Collected({self.slot: {"nats": nats}}, {self.slot: target}, {self.slot: known}, stream.rows_at(starts))

    def batch_of(self, store: Batches, rows: np.ndarray) -> Batch:
        """A block that begins at each of the rows, or so near the end that it is whole."""
        values, offsets = store.flat(("output", self.slot))
        length = min(self.block, len(values) - 1)
        starts = np.minimum(offsets[rows], len(values) - length - 1)
        tokens = torch.from_numpy(values[starts[:, None] + np.arange(length + 1)].astype(np.int64)).to(store.device)
        return Batch({self.slot: tokens[:, :-1]}, {self.slot: tokens[:, 1:]}, len(rows), torch.from_numpy(rows))

    def _walked(self, stream: Stream) -> tuple[int, int]:
        """(tokens said in a block, blocks)."""
        length = min(self.block, len(stream) - 1)
        return length, (len(stream) - 1) // length if length > 0 else 0

    def said_at_look(self) -> str:
        """The beginning of what it would write."""
        how, room, model = Sampling(tokens=SAID), self.types["output", self.slot], self.model.eval()
        return "".join(added[0] for added in texts(model, room, "", [0], how, self.device))

    def simple(self, split: str) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """What the frequencies of tokens, and of pairs of them, in the training text are worth."""
        blocks = np.concatenate([_joined(batch, self.slot) for batch in self.walk(split)])  # (n, T + 1)
        single, double = frequencies(self._train.pairs(), blocks, self.types["output", self.slot].vocabulary_size)  # type: ignore[attr-defined]
        return {self.slot: {"unigram": {"nats": single.sum(1)}, "bigram": {"nats": double.sum(1)}}}


def at_once(batch: int, length: int, vocabulary: int) -> int:
    """Blocks of `length` tokens per forward pass of an evaluation: `batch` of them, or more where they are short, but no more than fit."""
    return max(1, min(max(batch, AT_ONCE // max(1, length)), LOGITS // max(1, length * vocabulary)))


def frequencies(seen: Iterable[tuple[np.ndarray, np.ndarray]], blocks: np.ndarray, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Nats (n, T) of each token of `blocks` (n, T + 1) but the first, by how often it was seen (plus one), and by how often behind the one
    before, with as much belief in the former as in BELIEF pairs seen. seen: pieces of (tokens before, tokens behind), (N,) each."""
    pairs = blocks[:, :-1] * vocabulary + blocks[:, 1:]
    asked, place = np.unique(pairs, return_inverse=True)
    ones, firsts, twos = np.zeros(vocabulary, np.int64), np.zeros(vocabulary, np.int64), np.zeros(len(asked), np.int64)
    for before, behind in seen:
        ones += np.bincount(behind, minlength=vocabulary)
        firsts += np.bincount(before, minlength=vocabulary)
        pair = before * vocabulary + behind
        at = np.minimum(np.searchsorted(asked, pair), len(asked) - 1)
        twos += np.bincount(at[asked[at] == pair], minlength=len(asked))
    single = (ones + 1) / (ones.sum() + vocabulary)  # (V,)
    after = single[blocks[:, 1:]]
    both = (twos[place.reshape(pairs.shape)] + BELIEF * after) / (firsts[blocks[:, :-1]] + BELIEF)
    return -np.log(after), -np.log(both)


def _joined(batch: Batch, slot: str) -> np.ndarray:
    """(B, T + 1): what is given and what is said, as one text again."""
    given, said = (torch.as_tensor(side[slot]).cpu().numpy() for side in (batch.inputs, batch.targets))
    return np.concatenate([given, said[:, -1:]], 1)


class Stream:
    """The tokens of a split, one document behind the other, as they lie in the store's memory map."""

    def __init__(self, store: Batches, slot: str, split: str):
        self.store = store
        self.values, offsets = store.flat(("output", slot))
        self.rows = store.rows(split)
        starts, lengths = offsets[self.rows], offsets[self.rows + 1] - offsets[self.rows]
        self.ends = np.cumsum(lengths)  # (rows,) in the stream
        apart = np.ones(len(self.rows), bool)
        apart[1:] = starts[1:] != starts[:-1] + lengths[:-1]  # rows that lie behind each other are one run
        self.begins = (self.ends - lengths)[apart]  # (runs,) in the stream
        self.places = starts[apart]  # and in the values

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def take(self, starts: np.ndarray, length: int) -> np.ndarray:
        """(B, length) int64: the tokens from each of `starts` (B,) on."""
        at = starts[:, None] + np.arange(length)
        run = np.searchsorted(self.begins, at, side="right") - 1 if len(self.begins) > 1 else 0
        return self.values[at - self.begins[run] + self.places[run]].astype(np.int64)

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(tokens before, tokens behind), piece by piece, of at most COUNTED tokens."""
        for low in range(0, min(len(self) - 1, COUNTED), PIECE):
            tokens = self.take(np.array([low]), min(PIECE, len(self) - 1 - low) + 1)[0]
            yield tokens[:-1], tokens[1:]

    def rows_at(self, starts: np.ndarray) -> np.ndarray:
        """(B,) int64: the source's rows in which blocks begin."""
        return self.rows[np.searchsorted(self.ends, starts, side="right")]


class _Shifted:
    """An endless sequence of blocks' first tokens: every epoch its own permutation of all blocks, moved by its own shift."""

    def __init__(self, blocks: int, shifts: int, length: int, seed: int):
        self.blocks, self.shifts, self.length, self.seed = blocks, shifts, length, seed
        self._epochs: dict[int, np.ndarray] = {}

    def take(self, start: int, count: int) -> np.ndarray:
        """(count,) int64: those at start … start + count of the sequence."""
        places = np.arange(start, start + count)
        epochs = places // self.blocks
        return np.concatenate([self._epoch(e)[places[epochs == e] % self.blocks] for e in range(epochs[0], epochs[-1] + 1)])

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            draw = np.random.default_rng(key(self.seed, "blocks", epoch))
            shift = int(draw.integers(max(1, self.shifts)))
            self._epochs = {e: order for e, order in self._epochs.items() if e == epoch - 1}
            self._epochs[epoch] = draw.permutation(self.blocks) * self.length + shift
        return self._epochs[epoch]
