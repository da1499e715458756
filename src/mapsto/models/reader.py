"""Two texts read together: a question and what answers it, a premise and what follows from it.

Each is read by an LSTM in both directions; every word of the one that is read for an answer knows which words
of the others it is like (an attention over word vectors), whether they name it, and how many of theirs stand
around it: the features by which DrQA (Chen et al. 2017, "Reading Wikipedia to answer open-domain questions")
finds answers. Where few rows train, these tell the most. Letters: B batch, T words of the text, S words of
the others, W token width, D width, F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Field, Padded
from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.models._layers import Dropout
from mapsto.models.base import Heads, Net, Stems, Types, is_prose
from mapsto.models.tagger import BothWays
from mapsto.signature import Signature
from mapsto.types.text.word_stems import Placed, rarity
from mapsto.types.text.words import BEGIN, NAME, STEM

WINDOWS = (5, 15, 41)  # words around a word in which those of the others are counted


@dataclass(frozen=True)
class Config:
    token: int = setting(64, "width of a word's vector", above=0, narrows=8)
    width: int = setting(64, "units of each direction", above=0, narrows=8)
    dropout: float = setting(0.4, "share dropped of word vectors and of what was read", above=-1e-9, below=1)


def wants(signature: Signature, config: Config) -> dict[str, dict[str, Any]]:
    return {slot.name: {"apart": True} for slot in signature.inputs}


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    if len(signature.inputs) < 2 or not all(map(is_prose, signature.inputs)):
        kinds_in = [slot.type for slot in signature.inputs]
        raise ConfigError(
            f"model 'reader' takes two texts or more, got {', '.join(kinds_in) or 'no input'}.\nUse textcnn"
            " for one text, fusion for others."
        )
    spoken_of = {
        within for slot in signature.outputs if (within := types["output", slot.name].annotates(signature))
    }
    if len(spoken_of) > 1:
        raise ConfigError(
            f"model 'reader': outputs speak of {' and '.join(sorted(spoken_of))}, it reads one text for an"
            " answer.\nLearn them apart."
        )
    text = next(iter(spoken_of), signature.inputs[-1].name)
    known = next(types["input", slot.name].vocabulary_size for slot in signature.inputs if slot.name == text)  # type: ignore[attr-defined]
    body = Together(
        text,
        [slot.name for slot in signature.inputs if slot.name != text],
        known,
        config,
        pooled=not spoken_of,
    )
    heads = Heads(signature, types, kinds, 2 * config.width, "tokens" if spoken_of else "pooled")
    return Reader(Stems(signature, types, config.token), body, heads)


class Reader(Net):
    """A net whose body also sees what words are called and where they stand."""

    def hidden(self, inputs: Mapping[str, Field]) -> Any:
        return self.body(self.stems(inputs), inputs)


class Together(nn.Module):
    """{slot: Padded (B, T, W)} and the words themselves -> Placed (B, T, 2 D) of the text read for an answer,
    or (B, 2 D) of all. known: words in its vocabulary."""

    def __init__(self, text: str, others: list[str], known: int, config: Config, pooled: bool):
        super().__init__()
        self.text, self.others, self.known, self.pooled = text, tuple(others), known, pooled
        width, features = 2 * config.width, 3 + 2 * len(WINDOWS)
        self.dropout = Dropout(config.dropout)
        self.align = nn.Linear(config.token, config.token)
        self.asking = BothWays(config.token, config.width, 1, config.dropout)
        self.gist = nn.Linear(width, 1)
        self.reading = BothWays(2 * config.token + features + width, config.width, 1, config.dropout)
        self.gate = nn.Linear(width, width)
        self.fit = nn.Linear(2 * width + features, width)
        self.weigh = nn.Linear(width, 1) if pooled else None
        self.join = nn.Linear(2 * width + features, width) if pooled else None

    def forward(self, tokens: Mapping[str, Padded], words: Mapping[str, Any]) -> Placed | Tensor:
        text, there = tokens[self.text], words[self.text]
        x = self.dropout(text.values)
        asked = torch.cat([tokens[name].values for name in self.others], 1)  # (B, S, W)
        mask = torch.cat([words[name].mask for name in self.others], 1)
        mask = mask | ~mask.any(1, keepdim=True)  # where nothing is asked, padding stands for it
        seen = torch.cat([words[name].values for name in self.others], 1)  # (B, S, numbers of a word)
        features = self.features(there, seen, mask).to(x.dtype)  # (B, T, F)
        like = F.relu(self.align(x)) @ F.relu(self.align(asked)).mT  # (B, T, S)
        aligned = like.float().masked_fill(~mask[:, None], -1e9).softmax(-1).to(x.dtype) @ asked
        read = torch.cat([self.asking(tokens[name]).values for name in self.others], 1)  # (B, S, 2 D)
        gist = _weighed(read, self.gist(read)[..., 0], mask)  # (B, 2 D)
        whole = torch.cat([x, aligned, features, gist[:, None].expand(-1, x.shape[1], -1)], -1)
        found = self.reading(Padded(whole, text.lengths, text.counts)).values  # (B, T, 2 D)
        gated = found * torch.sigmoid(self.gate(gist))[:, None]
        found = F.relu(self.fit(torch.cat([found, gated, features], -1)))
        if self.weigh is None or self.join is None:
            return Placed(found, text.lengths, text.counts, there.values[..., BEGIN : BEGIN + 2])
        known = there.mask | (there.lengths == 0)[:, None]
        both = [
            _weighed(found, self.weigh(found)[..., 0], known),
            gist,
            _weighed(features, torch.zeros_like(features[..., 0]), known),
        ]
        return F.relu(self.join(torch.cat(both, -1)))

    def features(self, text: Padded, seen: Tensor, mask: Tensor) -> Tensor:
        """(B, T, F): is a word named by the others, or one of its stem, how rare is it; and how much that is
        named stands around it, as it is and as a share of the most in the text."""
        same = [
            (text.values[:, :, None, column] == seen[:, None, :, column]) & mask[:, None]
            for column in (NAME, STEM)
        ]
        exact, stem = (found.any(2) & text.mask for found in same)  # (B, T)
        weight = rarity(text.values, self.known)  # (B, T)
        told = stem * weight
        around = [
            F.avg_pool1d(told[:, None], size, 1, size // 2, count_include_pad=True)[:, 0] * size**0.5
            for size in WINDOWS
        ]
        shares = [near / near.amax(1, keepdim=True).clamp(min=1e-6) for near in around]
        return torch.stack([exact.float(), stem.float(), told, *around, *shares], -1)


def _weighed(values: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    """(B, T, D), scores (B, T) -> (B, D): the mean weighed by their softmax."""
    weight = scores.float().masked_fill(~mask, -1e9).softmax(1).to(values.dtype)
    return (values * weight[..., None]).sum(1)
