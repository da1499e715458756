"""What nets make of texts that are read word by word (`mapsto.types.text.words`): a batch of words, how rare
each is, and the stems that turn them into tokens or plain features.

Letters: B batch, T words, W numbers of a word, D width, F features, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Draw, Padded, Ragged
from mapsto.types.text.stems import padded
from mapsto.types.text.tokenizers import FIRST, UNKNOWN
from mapsto.types.text.words import BUCKETS, NAME, RUNS, SHAPE, SHAPES, WIDTH, WORD, numbers_of

LETTERS = 0.4  # of the words hidden in training, whose letters are hidden too
PLAIN = 4096  # buckets of the plain bag


def collated(arrays: Ragged, draw: Draw | None, hide: float) -> Padded:
    """Encoded texts as Padded int64 (B, T, W), at least one word wide. In training a share `hide` of words is
    unknown; of some the letters are too, so that shape and neighbours must tell."""
    found = padded(arrays.flat.long(), arrays.lengths)
    values = found.values if found.values.shape[1] else found.values.new_zeros(len(arrays), 1, WIDTH)
    if draw is not None and hide:
        longest = values.shape[1]  # in the name: other texts of the row have other lengths
        hidden = (draw.uniform(f"hidden of {longest} words", longest).to(values.device) < hide) & found.mask[
            :, :longest
        ]
        values[..., WORD].masked_fill_(hidden, UNKNOWN)
        hidden &= draw.uniform(f"hidden letters of {longest} words", longest).to(values.device) < LETTERS
        values[..., RUNS:].masked_fill_(hidden[..., None], 0)
    return Padded(values, found.lengths, found.counts)


def rarity(words: Tensor, known: int) -> Tensor:
    """(B, T) float32 of words (B, T, W): 0 for the most frequent word, near 1 for rare ones, 1 for unknown
    ones. known: size of the vocabulary."""
    rank = torch.where(words[..., WORD] < FIRST, known, words[..., WORD] - FIRST)
    return (1 + rank.float()).log() / float(np.log(1 + max(known, 1)))


@dataclass(frozen=True)
class Placed(Padded):
    """What a net makes of words, with where they stand in their text: places (B, T, 2), the first character
    and behind the last."""

    places: Tensor | None = None


class WordStem(nn.Module):
    """Words (B, T, W) -> Padded (B, T, D): the vectors of the word, of the runs of its letters and of its
    shape, side by side, then mixed."""

    gives = "tokens"

    def __init__(self, known: str, width: int):
        super().__init__()
        self.words = nn.Embedding(FIRST + len(numbers_of(known)), width, padding_idx=0)
        self.runs = nn.EmbeddingBag(BUCKETS, width, mode="mean", padding_idx=0)
        self.shapes = nn.Embedding(SHAPES, max(1, width // 4), padding_idx=0)
        for table in (self.words, self.runs, self.shapes):
            nn.init.normal_(table.weight, std=0.1)
            table.weight.data[0] = 0
        self.mix = nn.Linear(2 * width + max(1, width // 4), width)

    def forward(self, words: Padded) -> Padded:
        batch, length, _ = words.values.shape
        numbers = words.values[..., RUNS:]
        if torch.compiler.is_exporting():  # whose bags are loops
            there = (numbers != 0).sum(-1, keepdim=True)  # of runs; row 0 of the table is 0
            runs = F.embedding(numbers, self.runs.weight).sum(2) / there.clamp(min=1)
        else:
            runs = self.runs(numbers.flatten(0, 1)).view(batch, length, -1)  # (B, T, D)
        parts = [self.words(words.values[..., WORD]), runs, self.shapes(words.values[..., SHAPE])]
        return Padded(self.mix(torch.cat(parts, -1)), words.lengths, words.counts)


class WordBag(nn.Module):
    """Words (B, T, W) -> (B, F): hashed counts of words, of length 1."""

    gives = "pooled"
    features = PLAIN

    def forward(self, words: Padded) -> Tensor:
        counts = torch.zeros(words.values.shape[0], self.features, device=words.values.device)
        counts.scatter_add_(1, words.values[..., NAME] % self.features, words.mask.to(counts.dtype))
        return F.normalize((1 + counts.clamp(min=1).log()) * (counts > 0), dim=1)
