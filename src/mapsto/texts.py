"""What nets make of texts: a batch of token numbers and bags, and the stems that turn it into tokens or plain features.

A bag is a text's counted runs, hashed into buckets (`mapsto.ngrams`), with weights tf · idf of length 1. Letters: B batch, T tokens,
G counted runs, D width, F features, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Padded
from mapsto.tokens import MISSING

BAG = 16  # width of a bag's vector


@dataclass(frozen=True)
class Texts(Padded):
    """Token numbers (B, T), and beside them the bags: Padded (B, G, 2) of bucket and weight, or None."""

    bags: Padded | None = None

    def __getitem__(self, rows: slice) -> Texts:
        return Texts(self.values[rows], self.lengths[rows], None if self.bags is None else self.bags[rows])

    def to(self, device: torch.device | str) -> Texts:
        return Texts(self.values.to(device), self.lengths.to(device), None if self.bags is None else self.bags.to(device))


def behind_each_other(arrays: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """All encoded texts behind each other, int64 (N,), and whose each number is, (N,)."""
    lengths = torch.tensor([len(array) for array in arrays], dtype=torch.int64)
    flat = torch.cat(list(arrays)).long() if len(arrays) else lengths
    return flat, torch.repeat_interleave(torch.arange(len(arrays)), lengths).to(flat.device)


def padded(flat: Tensor, lengths: Tensor) -> Padded:
    """(N, …) of all rows behind each other -> Padded (B, T, …), zeros beyond the lengths."""
    longest = int(lengths.max()) if len(lengths) else 1
    values = torch.zeros(len(lengths), longest, *flat.shape[1:], dtype=flat.dtype, device=flat.device)
    values[torch.arange(longest, device=flat.device) < lengths[:, None]] = flat
    return Padded(values, lengths)


class TextStem(nn.Module):
    """Texts -> Padded (B, 1 + T, D): the bag, then the tokens; the tokens alone where nothing is counted; (B, 1, D), the bag alone, where
    texts are bags only.

    The bag fills the first BAG places of its token, the others are 0: a hundred thousand buckets need not be as wide as tokens."""

    gives = "tokens"

    def __init__(self, vocabulary: int | None, buckets: int, width: int):
        super().__init__()
        self.runs = nn.EmbeddingBag(buckets, min(width, BAG), mode="sum") if buckets else None
        if self.runs is not None:
            nn.init.normal_(self.runs.weight, std=0.1)
        self.missing = nn.Parameter(torch.zeros(width)) if buckets else None
        self.tokens = nn.Embedding(vocabulary, width, padding_idx=0) if vocabulary else None
        if self.tokens is not None:
            nn.init.normal_(self.tokens.weight, std=0.1)
            self.tokens.weight.data[0] = 0

    def forward(self, texts: Texts) -> Tensor | Padded:
        if self.tokens is not None and texts.bags is None:
            return Padded(self.tokens(texts.values), texts.lengths)
        assert self.missing is not None and self.runs is not None and texts.bags is not None
        first = (texts.values[:, :1] == MISSING).to(self.missing.dtype) * self.missing  # (B, D)
        if texts.bags.values.shape[1]:
            bag = self.runs(texts.bags.values[..., 0].long(), per_sample_weights=texts.bags.values[..., 1])
            first = first + F.pad(bag, (0, first.shape[1] - bag.shape[1]))
        if self.tokens is None:
            return first[:, None]
        tokens = self.tokens(texts.values)  # (B, T, D)
        return Padded(torch.cat([first[:, None], tokens.to(first.dtype)], 1), texts.lengths + 1)


class PlainBag(nn.Module):
    """Texts -> (B, F): tf · idf of single words and pairs, of length 1; of runs of characters where there are no words, of tokens where
    nothing is counted. What a linear n-gram model reads."""

    gives = "pooled"

    def __init__(self, vocabulary: int, buckets: int, upper: bool):
        super().__init__()
        self.each = buckets // 2  # buckets of words, and as many of characters
        self.upper = upper
        self.features = self.each or vocabulary

    def forward(self, texts: Texts) -> Tensor:
        if texts.bags is None:
            counts = torch.zeros(len(texts.values), self.features, device=texts.values.device)
            counts.scatter_add_(1, texts.values, texts.mask.to(counts.dtype))
            return F.normalize((1 + counts.clamp(min=1).log()) * (counts > 0), dim=1)
        bucket, weight = texts.bags.values[..., 0].long(), texts.bags.values[..., 1]
        mine = (bucket >= self.each) == self.upper
        found = torch.zeros(len(bucket), self.features, device=weight.device)
        return F.normalize(found.scatter_add_(1, bucket % self.each, weight * mine), dim=1)
