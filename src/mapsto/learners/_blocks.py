"""Saying what comes next, learned and measured in blocks of tokens: what `next_token` and `chat` share. How
the tokens of a split stand in blocks, and in which order these are learned, is what they differ in.

Letters: B blocks, T tokens of each, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Batch, Batches, key, moved
from mapsto.errors import ConfigError
from mapsto.learners.base import Learner, Logs
from mapsto.prediction import USUAL, Keep, Measured, Predictions
from mapsto.types.text.tokenizers import PADDING, START

if TYPE_CHECKING:
    from mapsto.learners._graphs import EvalTexts, Part, Sides

EVAL_ROWS = 16_384  # tokens that are enough for a look while it learns
MEASURED = 400_000  # tokens of a split that are measured at most, in blocks evenly spread
BELIEF = 5.0
AT_ONCE = 8_192  # tokens per forward pass where nothing is kept for a backward pass, at least
LOGITS = 1 << 26  # that are held at once meanwhile: 8,192 tokens of 16,384 each took 1.6 GB


class Blocks(Protocol):
    """The tokens of a split in blocks, each named by a number, its place. values: the tokens as they are
    stored."""

    store: Batches
    values: np.ndarray

    @property
    def length(self) -> int:
        """Tokens that are given in a block."""
        ...

    @property
    def block_starts(self) -> np.ndarray:
        """(n,) int64: the blocks that are measured."""
        ...

    def take(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int64 (B, T) each: the tokens given, and what is to be said behind each of them, PADDING for
        nothing."""
        ...

    def rows_at(self, places: np.ndarray) -> np.ndarray:
        """(B,) int64: the source's rows in which blocks begin."""
        ...

    def pairs(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(tokens given, tokens said behind them), (N,) each, piece by piece."""
        ...


class Blockwise(Learner):
    """Learn what comes next in the one output, given nothing."""

    packs = True
    prefetch = True
    way = "texts"
    learns: ClassVar[str]  # for people: its name and what it learns
    asked: ClassVar[str]  # and how they ask for it

    def blocks(self, split: str, store: Batches | None = None) -> Blocks:
        """A split of the learner's own store, or of another, in blocks."""
        raise TypeError(f"{type(self).__name__} has no blocks")

    @cached_property
    def slot(self) -> str:
        if self.signature.inputs or len(self.signature.outputs) != 1:
            raise ConfigError(f"learner {self.learns}, got '{self.signature}'.\nWrite: {self.asked}.")
        return self.signature.outputs[0].name

    @property
    def column_type(self) -> Any:
        return self.types["output", self.slot]

    @property
    def block(self) -> int:
        """Tokens read at once."""
        return self.column_type.most

    @property
    def row_tokens(self) -> float:
        return float(self.block)

    @property
    def eval_rows(self) -> int:
        return max(1, EVAL_ROWS // self.block)

    @property
    def few_shapes(self) -> bool:
        return True  # all blocks are of one length

    # ---- exported ----

    def graphs(self, cells: Mapping[str, np.ndarray], sides: Sides) -> list[Part]:
        from mapsto.learners._graphs import graphs_of_language_model

        return graphs_of_language_model(self.model)  # type: ignore[arg-type]

    def way_options(self, parts: Sequence[Part]) -> dict[str, Any]:
        from mapsto.learners._graphs import options_of_language_model

        return options_of_language_model(self.model, parts)  # type: ignore[arg-type]

    def eval_texts(self, store: Batches, split: str, most: int) -> EvalTexts:
        """Of blocks that hold several conversations the first: none sees another."""
        from mapsto.learners._graphs import EvalTexts

        blocks = self.blocks(split, store)
        condition, said = blocks.take(eval_positions(blocks, most))
        ((_, head),) = self.model.heads.items()  # type: ignore[union-attr, operator]
        if head.separate:
            said = np.where((condition == START).cumsum(1) > 1, PADDING, said)
        return EvalTexts(condition, said, self.metrics(self.slot))

    # ---- training ----

    def probes(self) -> tuple[Batch, Batch]:
        batch = next(self.batches("train", 0))  # all blocks are of one size
        return batch, batch

    def batch(self, blocks: Blocks, places: np.ndarray) -> Batch:
        condition, said = blocks.take(places)
        arrays = (condition, said, blocks.rows_at(places))
        condition, said, rows = (
            moved(torch.from_numpy(np.ascontiguousarray(one)), blocks.store.device) for one in arrays
        )
        return Batch({self.slot: condition}, {self.slot: said}, len(places), rows)

    def condition(self, batch: Batch) -> Tensor:
        return batch.inputs[self.slot]  # type: ignore[return-value]

    def outputs(self, batch: Batch) -> dict[str, Tensor]:
        return self.model({}, condition=self.condition(batch), size=batch.size)

    def loss(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        output = self.outputs(batch)[self.slot]
        ((_, head),) = self.model.heads.items()  # type: ignore[union-attr, operator]
        return head.loss(output, batch.targets[self.slot]), {}

    # ---- measuring ----

    @torch.no_grad()
    def arrays(self, batch: Batch) -> dict[str, dict[str, np.ndarray]]:
        """{slot: {"nats": (B,)}}: of each block the sum over the tokens said."""
        self.model.eval()
        with self.autocast:
            (nats, _), _ = self.loss(self.ready(batch))
        return {self.slot: {"nats": nats.float().cpu().numpy()}}

    def iterate(self, split: str, most: int | None = None, store: Batches | None = None) -> Iterator[Batch]:
        """The blocks of a split, all or `most` of them evenly spread."""
        blocks = self.blocks(split, store)
        return self._walked(blocks, eval_positions(blocks, most))

    def _walked(self, blocks: Blocks, places: np.ndarray) -> Iterator[Batch]:
        size = at_once(self.evaluation_batch, blocks.length, self.column_type.vocabulary_size)
        for low in range(0, len(places), size):
            yield self.batch(blocks, places[low : low + size])

    def measure(self, split: str, keep: Keep = USUAL) -> Measured:
        """Blocks as rows; their row number is that of the row in which they begin. Nothing small is kept
        while logits come and go: it would cut the heap into pieces (14 GB for 3 million tokens)."""
        if keep.store is None and (self.store is None or not self.size(split)):
            return Measured(np.empty(0, np.int64))
        blocks = self.blocks(split, keep.store)
        places = eval_positions(blocks, keep.most)
        nats, done = np.empty(len(places), np.float32), 0
        for batch in self._walked(blocks, places):
            nats[done : done + batch.size] = self.arrays(batch)[self.slot]["nats"]
            done += batch.size
        target = blocks.take(places)[1].astype(blocks.values.dtype)
        rows, known = blocks.rows_at(places), np.ones(len(places), bool)
        nats_of, target_of = {self.slot: {"nats": nats}}, {self.slot: target}
        return Measured(rows, Predictions(nats_of, target_of, {self.slot: known}, rows))

    def baseline(self, split: str) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """What the frequencies of the tokens that training says, and of pairs of them, are worth on those
        said here."""
        blocks = self.blocks(split)
        condition, said = blocks.take(eval_positions(blocks))
        found = frequencies(self.blocks("train").pairs(), condition, said, self.column_type.vocabulary_size)
        unigram, bigram = ({"nats": (nats * (said != PADDING)).sum(1)} for nats in found)
        return {self.slot: {"unigram": unigram, "bigram": bigram}}


def eval_positions(blocks: Blocks, most: int | None = None) -> np.ndarray:
    """(n,): where blocks are measured, all or `most` of them evenly spread."""
    places, most = blocks.block_starts, max(1, MEASURED // max(1, blocks.length)) if most is None else most
    return places if len(places) <= most else places[np.linspace(0, len(places) - 1, most).astype(np.int64)]


def at_once(batch: int, length: int, vocabulary: int) -> int:
    """Blocks of `length` tokens per forward pass of an evaluation: `batch` of them, or more where they are
    short, but no more than fit."""
    return max(1, min(max(batch, AT_ONCE // max(1, length)), LOGITS // max(1, length * vocabulary)))


def frequencies(
    seen: Iterable[tuple[np.ndarray, np.ndarray]], condition: np.ndarray, said: np.ndarray, vocabulary: int
) -> tuple[np.ndarray, np.ndarray]:
    """Nats (n, T) of each token `said`, by how often it was seen (plus one), and by how often behind the one
    `given` before it, with as much belief in the former as in BELIEF pairs seen. seen: pieces of (tokens
    before, tokens behind), (N,) each.
    """
    pairs = condition * vocabulary + said
    asked, place = np.unique(pairs, return_inverse=True)
    ones, firsts, twos = (
        np.zeros(vocabulary, np.int64),
        np.zeros(vocabulary, np.int64),
        np.zeros(len(asked), np.int64),
    )
    for before, behind in seen:
        ones += np.bincount(behind, minlength=vocabulary)
        firsts += np.bincount(before, minlength=vocabulary)
        pair = before * vocabulary + behind
        at = np.minimum(np.searchsorted(asked, pair), len(asked) - 1)
        twos += np.bincount(at[asked[at] == pair], minlength=len(asked))
    single = (ones + 1) / (ones.sum() + vocabulary)  # (V,)
    after = single[said]
    both = (twos[place.reshape(pairs.shape)] + BELIEF * after) / (firsts[condition] + BELIEF)
    return -np.log(after), -np.log(both)


class Epochs:
    """An endless sequence of blocks' places: every epoch its own permutation of all, `length` apart, moved by
    its own shift below `shifts`."""

    def __init__(self, blocks: int, seed: int, length: int = 1, shifts: int = 1):
        self.blocks, self.seed, self.length, self.shifts = blocks, seed, length, shifts
        self._epochs: dict[int, np.ndarray] = {}

    def take(self, start: int, count: int) -> np.ndarray:
        """(count,) int64: those at start … start + count of the sequence."""
        places = np.arange(start, start + count)
        epochs = places // self.blocks
        return np.concatenate(
            [self._epoch(e)[places[epochs == e] % self.blocks] for e in range(epochs[0], epochs[-1] + 1)]
        )

    def _epoch(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            draw = np.random.default_rng(key(self.seed, "blocks", epoch))
            shift = int(draw.integers(self.shifts)) if self.shifts > 1 else 0
            self._epochs = {e: order for e, order in self._epochs.items() if e == epoch - 1}
            self._epochs[epoch] = draw.permutation(self.blocks) * self.length + shift
        return self._epochs[epoch]
