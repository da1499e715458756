"""What nets make of texts: a batch of token numbers and bags, and the stems that turn it into tokens or plain
features.

A bag is a text's counted runs, hashed into buckets (`mapsto.types.text.ngrams`), with weights tf · idf of
length 1. Letters: B batch, T tokens, G counted runs, D width, F features, V vocabulary.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Draw, Padded, Ragged, register_tree
from mapsto.types.text._reading import COUNT_BITS, MOST_COUNT, Text
from mapsto.types.text.tokenizers import FIRST, MISSING, UNKNOWN

BAG = 16  # width of a bag's vector
MARKS = 512  # places that runs are hashed into to compare texts
FEWEST_RUNS = 30  # below which a text is too short to be like another
_LOGS = 1 + torch.arange(MOST_COUNT + 1).clamp(min=1).log()  # (MOST_COUNT + 1,): 1 + ln(count)


@dataclass(frozen=True)
class Texts(Padded):
    """Token numbers (B, T), and beside them the bags: float32 (N, 2) of bucket and weight, those of all texts
    behind each other, in an exported net padded to (B, G, 2); or None."""

    bags: Any = None  # Ragged; Padded in an exported net

    def __getitem__(self, rows: slice | Tensor) -> Texts:
        return Texts(*self._cut(rows), None if self.bags is None else self.bags[rows])

    def to(self, device: torch.device | str) -> Texts:
        return Texts(
            self.values.to(device),
            self.lengths.to(device),
            self.counts,
            None if self.bags is None else self.bags.to(device),
        )


register_tree(Texts, ("values", "lengths", "bags"), ("counts",))


def padded(flat: Tensor, lengths: Tensor) -> Padded:
    """(N, …) of all rows behind each other -> Padded (B, T, …), zeros beyond the lengths."""
    counts = tuple(lengths.tolist())
    values = torch.zeros(len(counts), max(counts, default=1), *flat.shape[1:], dtype=flat.dtype)
    values.masked_scatter_(
        (torch.arange(values.shape[1]) < lengths[:, None]).view(*values.shape[:2], *[1] * (flat.ndim - 1)),
        flat,
    )
    return Padded(values, lengths, counts)


def window(tokens: Padded, start: Tensor, most: int) -> Padded:
    """`most` tokens of each row from `start` (B,) on; the first place keeps what it says of the text."""
    places = start[:, None] + torch.arange(most, device=start.device)
    taken = tokens.values.gather(1, places.clamp(max=tokens.values.shape[1] - 1))
    taken[:, 0] = tokens.values[:, 0]
    lengths = (tokens.lengths - start).clamp(max=most)
    return Padded(taken * (torch.arange(most, device=start.device) < lengths[:, None]), lengths)


def windows(texts: Texts, most: int, views: int) -> list[Padded]:
    """Windows of `most` tokens spread evenly over each text: the power of two of them that covers it, `views`
    of them at most, so that the mean over all is the mean over a text's own windows, whatever else is in the
    batch. A short text is seen whole in each.
    """
    filled = (texts.lengths.clamp(max=most * views) / most).ceil().clamp(min=1)
    number = 2 ** filled.log2().ceil().long()  # (B,)
    # a graph has no say in how many it holds: the mean over all of them is the same
    count = views if torch.compiler.is_exporting() else int(number.max())
    free = (texts.lengths - most).clamp(min=0)
    starts = [free * (k * number // count) // (number - 1).clamp(min=1) for k in range(count)]
    found = [window(texts, start, most) for start in starts]
    return [Texts(one.values, one.lengths, bags=texts.bags) for one in found]


def disturbed(column_type: Text, tokens: Padded, draw: Draw) -> Padded:
    """Training: one random window of a long text, and `hide` of the tokens unknown; the first token stays."""
    if column_type.long == "windows" and tokens.values.shape[1] > column_type.most:
        free = (tokens.lengths - column_type.most).clamp(min=0)
        tokens = window(
            tokens,
            (draw.uniform("text window", 1)[:, 0].to(free.device) * (free + 1)).long(),
            column_type.most,
        )
        tokens = replace(tokens, counts=tuple(tokens.lengths.tolist()))
    if not column_type.hide:
        return tokens
    longest = tokens.values.shape[1]  # in the name: other texts of the row have other lengths
    hidden = draw.uniform(f"hidden of {longest} tokens", longest).to(tokens.values.device) < column_type.hide
    hidden[:, 0] = False
    return Padded(torch.where(hidden & tokens.mask, UNKNOWN, tokens.values), tokens.lengths, tokens.counts)


def tokens_of(encoded: Ragged) -> tuple[np.ndarray, Tensor]:
    """Of encoded texts: (which of the numbers are tokens (N,) bool, how many each text has (B,) int64); the
    others are counted runs."""
    token = encoded.flat.numpy() >= 0
    below = np.concatenate([[0], token.cumsum()])  # tokens before each number
    ends = encoded.lengths.numpy().cumsum()
    return token, torch.from_numpy(below[ends] - below[ends - encoded.lengths.numpy()])


def bytes_of(encoded: Ragged, codes: str) -> Tensor:
    """(B,) float64: bytes that each text's byte pairs stand for."""
    from mapsto.types.text.tokenizers import piece_bytes

    token, counts = tokens_of(encoded)
    sizes = piece_bytes(codes)[encoded.flat.numpy()[token]]
    row = Ragged(torch.empty(0), counts).row.numpy()
    return torch.from_numpy(np.bincount(row, sizes, len(encoded)))


@cache
def rarities_of(text: str) -> Tensor:
    """(buckets,) float32: 1 + ln((1 + texts) / (1 + texts with it)), the inverse document frequency, from its
    packed form."""
    level = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return torch.from_numpy(1 + level.astype(np.float32) * np.float32(np.log(2) / 16))


def weighed(packed: Ragged, rarities: Tensor) -> Ragged:
    """Counted runs, bucket and count in one number -> float32 (N, 2) of bucket and weight tf · idf. rarities:
    (buckets,). Words (the lower buckets) and letters have length 1 each: many runs of letters must not drown
    the words."""
    bucket, count = packed.flat >> COUNT_BITS, packed.flat & MOST_COUNT
    weight = _LOGS.index_select(0, count).mul_(rarities.index_select(0, bucket))
    part = (2 * packed.row).add_(bucket >= len(rarities) // 2)
    norm = torch.zeros(2 * len(packed)).index_add_(0, part, weight * weight).sqrt_()
    bags = torch.empty(len(weight), 2)
    bags[:, 0], bags[:, 1] = bucket, weight.div_(norm.index_select(0, part))
    return Ragged(bags, packed.lengths)


def hashed_marks(numbers: Tensor, arrays: Ragged, counted: bool) -> Tensor:
    """(B, MARKS): the counted runs of encoded texts, or where none are counted their tokens, hashed with
    random signs, of length 1; 0 of a short text. numbers (N,): a number for each part of the texts."""
    run = numbers < 0 if counted else numbers >= FIRST
    row = arrays.row[run]
    packed = ~numbers[run] if counted else (numbers[run] << COUNT_BITS) + 1
    mixed = ((packed >> COUNT_BITS) * 0x9E3779B1) % (1 << 32)
    weight = (1 + (packed & MOST_COUNT).float().log()) * (2.0 * ((mixed >> 10) & 1) - 1)
    marks = torch.zeros(len(arrays), MARKS).index_put_((row, (mixed >> 16) % MARKS), weight, accumulate=True)
    enough = torch.bincount(row, minlength=len(arrays))[:, None] >= FEWEST_RUNS
    return torch.where(enough, marks / marks.norm(dim=1, keepdim=True).clamp(min=1e-12), 0.0)


def dense_bags(packed: Tensor, rarities: Tensor) -> Padded:
    """`weighed` of packed runs (B, G), 0 behind each text's -> (B, G, 2), weight 0 there: of operations
    that an exported net has."""
    there = packed < 0
    plain = torch.where(there, ~packed, 0).long()
    bucket, count = plain >> COUNT_BITS, plain & MOST_COUNT
    weight = torch.where(there, _LOGS[count] * rarities[bucket], 0.0)
    upper = bucket >= len(rarities) // 2
    norms = [(weight.square() * part).sum(1, keepdim=True).sqrt() for part in (~upper, upper)]
    norm = torch.where(upper, norms[1], norms[0])
    weight = torch.where(there, weight / norm.clamp(min=1e-30), 0.0)
    return Padded(torch.stack([bucket.float(), weight], -1), there.sum(1))


def mean_rarity(bags: Ragged | Padded, rarities: Tensor) -> Tensor:
    """(B,): how rare the runs of each bag are in the training texts, in the mean."""
    rarities = rarities.to(bags.lengths.device)
    if isinstance(bags, Padded):
        each = rarities[bags.values[..., 0].long()] * bags.mask
        return each.sum(1) / bags.lengths.clamp(min=1)
    rarity = rarities.to(bags.flat.device)[bags.flat[:, 0].long()]
    total = torch.zeros(len(bags), device=rarity.device).index_add_(0, bags.row, rarity)
    return total / bags.lengths.to(rarity.device).clamp(min=1)


class TextStem(nn.Module):
    """Texts -> Padded (B, 1 + T, D): the bag, then the tokens; the tokens alone where nothing is counted; (B,
    1, D), the bag alone, where texts are bags only.

    The bag fills the first BAG places of its token, the others are 0: a hundred thousand buckets need not be
    as wide as tokens.
    """

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
        bag = self._bag(texts.bags)
        first = first + F.pad(bag, (0, first.shape[1] - bag.shape[1]))
        if self.tokens is None:
            return first[:, None]
        tokens = self.tokens(texts.values)  # (B, T, D)
        return Padded(torch.cat([first[:, None], tokens.to(first.dtype)], 1), texts.lengths + 1)

    def _bag(self, bags: Ragged | Padded) -> Tensor:
        """(B, BAG): the weighted sum of the vectors of each text's runs."""
        assert self.runs is not None
        if isinstance(bags, Padded):
            bucket, weight = bags.values.unbind(-1)
            return (F.embedding(bucket.long(), self.runs.weight) * weight[..., None]).sum(1)
        return self.runs(bags.flat[:, 0].long(), bags.starts, per_sample_weights=bags.flat[:, 1].contiguous())


class PlainBag(nn.Module):
    """Texts -> (B, F): tf · idf of single words and pairs, of length 1; of runs of characters where there are
    no words, of tokens where nothing is counted. What a linear n-gram model reads."""

    gives = "pooled"

    def __init__(self, vocabulary: int, buckets: int, upper: bool):
        super().__init__()
        self.each = buckets // 2  # buckets of words, and as many of characters
        self.upper = upper
        self.features = self.counted = self.each or vocabulary

    def forward(self, texts: Texts) -> Tensor:
        if texts.bags is None:
            counts = torch.zeros(texts.values.shape[0], self.counted, device=texts.values.device)
            counts.scatter_add_(1, texts.values, texts.mask.to(counts.dtype))
            return F.normalize((1 + counts.clamp(min=1).log()) * (counts > 0), dim=1)
        if isinstance(texts.bags, Padded):
            bucket, weight = texts.bags.values[..., 0].long(), texts.bags.values[..., 1]
            mine = ((bucket >= self.each) == self.upper).to(weight.dtype)
            counts = torch.zeros(bucket.shape[0], self.counted, device=bucket.device)
            return F.normalize(counts.scatter_add(1, bucket % self.each, weight * mine), dim=1)
        bucket, weight = texts.bags.flat[:, 0].long(), texts.bags.flat[:, 1]
        mine = (bucket >= self.each) == self.upper
        found = torch.zeros(len(texts.bags) * self.counted, device=weight.device)
        found.index_add_(0, texts.bags.row * self.counted + bucket % self.each, weight * mine)
        return F.normalize(found.view(len(texts.bags), self.counted), dim=1)

    def sparse_tensor(self, texts: Texts) -> Tensor:
        """The same, sparse and coalesced, where the texts lie."""
        if not isinstance(texts.bags, Ragged):  # tokens alone, or what a graph is given
            return PlainBag.forward(self, texts).to_sparse()
        bucket, weight = texts.bags.flat[:, 0].long(), texts.bags.flat[:, 1]
        mine = ((bucket >= self.each) == self.upper).nonzero()[:, 0]
        at = torch.stack([texts.bags.row[mine], bucket[mine] % self.each])
        shape = (len(texts.bags), self.counted)
        found = _sparse(at, weight[mine], shape).coalesce()
        row, values = found.indices()[0], found.values()
        length = torch.zeros(shape[0], device=values.device).index_add_(0, row, values**2).sqrt()
        values = values / length.clamp(min=1e-12)[row]
        return _sparse(found.indices(), values, shape, coalesced=True)

    def sparse(self, texts: Texts) -> Any:
        """The same as scipy's csr_array (B, F) float32: of tens of thousands of features a text has some
        dozens."""
        from scipy.sparse import csr_array

        if texts.bags is None:
            row, feature = (side.numpy() for side in texts.mask.nonzero(as_tuple=True))
            feature, weight = texts.values.numpy()[row, feature], np.ones(len(row), np.float32)
        else:
            bucket = texts.bags.flat[:, 0].long().numpy()
            mine = np.flatnonzero((bucket >= self.each) == self.upper)
            row, feature, weight = (
                texts.bags.row.numpy()[mine],
                bucket[mine] % self.each,
                texts.bags.flat[:, 1].numpy()[mine],
            )
        found = csr_array((weight, (row, feature)), shape=(len(texts.values), self.counted))
        found.sum_duplicates()
        if texts.bags is None:
            found.data = 1 + np.log(found.data)
        length = np.sqrt(
            np.add.reduceat(np.r_[found.data**2, 0], found.indptr[:-1])
        )  # of an empty row: another's, of nothing
        found.data /= np.repeat(np.maximum(length, 1e-12), np.diff(found.indptr)).astype(np.float32)
        return found


def _sparse(at: Tensor, values: Tensor, shape: tuple[int, ...], coalesced: bool | None = None) -> Tensor:
    return torch.sparse_coo_tensor(at, values, shape, check_invariants=False, is_coalesced=coalesced)


class PlacedBag(PlainBag):
    """`PlainBag`, and behind it one feature for each token at each place: of sequences of one length, which
    differ in single places."""

    def __init__(self, vocabulary: int, buckets: int, upper: bool, places: int):
        super().__init__(vocabulary, buckets, upper)
        self.vocabulary, self.places = vocabulary, places
        self.features = self.counted + places * vocabulary

    def forward(self, texts: Texts) -> Tensor:
        row, feature = self._placed(texts)
        found = torch.zeros(texts.values.shape[0], self.places * self.vocabulary, device=row.device)
        found[row, feature] = 1.0
        return torch.cat([super().forward(texts), found], 1)

    def sparse_tensor(self, texts: Texts) -> Tensor:
        row, feature = self._placed(texts)
        shape = (len(texts.values), self.places * self.vocabulary)
        placed = _sparse(torch.stack([row, feature]), torch.ones(len(row), device=row.device), shape)
        return torch.cat([super().sparse_tensor(texts), placed], 1).coalesce()

    def sparse(self, texts: Texts) -> Any:
        from scipy.sparse import csr_array, hstack

        row, feature = (side.numpy() for side in self._placed(texts))
        shape = (len(texts.values), self.places * self.vocabulary)
        placed = csr_array((np.ones(len(row), np.float32), (row, feature)), shape=shape)
        return csr_array(hstack([super().sparse(texts), placed]))

    def _placed(self, texts: Texts) -> tuple[Tensor, Tensor]:
        """Of every token: its row and its feature."""
        row, place = texts.mask[:, : self.places].nonzero(as_tuple=True)
        return row, place * self.vocabulary + texts.values[row, place].long()
