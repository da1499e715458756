"""Convolutional net for sequences: runs of 2, 3, 4 tokens are looked for everywhere, the best match of each counts (Kim 2014).

Beside it, where the input has one, its bag of counted runs as a second member (`WithSummary`). On sst2's 6,920 sentences .837
together, trec .91. Letters: B batch, T tokens, W token width, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Padded
from mapsto.config import setting
from mapsto.models.base import Heads, Net, Only, Rooms, Stems, WithSummary, only_sequence
from mapsto.signature import Signature


@dataclass(frozen=True)
class Config:
    token: int = setting(128, "width of a token", above=0)
    channels: int = setting(100, "patterns looked for, of each length", above=0)
    longest: int = setting(4, "longest run of tokens a pattern covers; the shortest is 2", above=1)
    layers: int = setting(1, "convolutions behind each other, each with a residual", above=0)
    places: int = setting(0, "first so many places each have a vector of their own, for sequences whose places mean something", above=-1)
    dropout: float = setting(0.5, "share of what was found dropped before the head", above=-1e-9, below=1)
    noise: float = setting(0.3, "share of token values dropped", above=-1e-9, below=1)


def build(signature: Signature, types: Rooms, config: Config, kinds: Mapping[str, str]) -> Net:
    stems = Stems(signature, types, config.token)
    leads = only_sequence(signature, types, stems, "textcnn")
    body = TextCnn(config)
    return Net(stems, nn.Sequential(Only(), WithSummary(body, leads, config.token, body.width)), Heads(signature, types, kinds, body.width, "pooled"))


class TextCnn(nn.Module):
    """Padded (B, T, W) -> (B, D): the strongest answer of each pattern over all places."""

    def __init__(self, config: Config):
        super().__init__()
        sizes = range(2, config.longest + 1)
        self.width = config.channels * len(sizes)
        self.places = nn.Parameter(torch.randn(config.places, config.token) * 0.1) if config.places else None
        self.deep = nn.ModuleList(nn.Conv1d(config.token, config.token, 3, padding=1) for _ in range(config.layers - 1))
        self.patterns = nn.ModuleList(nn.Conv1d(config.token, config.channels, size, padding=size // 2) for size in sizes)
        self.noise, self.dropout = nn.Dropout(config.noise), nn.Dropout(config.dropout)

    def forward(self, tokens: Padded) -> Tensor:
        mask = tokens.mask[:, None]  # (B, 1, T)
        x = tokens.values
        if self.places is not None:
            x = x + F.pad(self.places[: x.shape[1]], (0, 0, 0, max(0, x.shape[1] - len(self.places))))
        x = self.noise(x).transpose(1, 2) * mask  # (B, W, T)
        for layer in self.deep:
            x = (x + F.relu(layer(x))) * mask
        found = [(F.relu(pattern(x))[..., : x.shape[2]] * mask).amax(2) for pattern in self.patterns]  # each (B, C)
        return self.dropout(torch.cat(found, 1))
