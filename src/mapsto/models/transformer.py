"""Transformer encoder (Vaswani et al. 2017, layer norm first): every token looks at every other, the mean of
what they know counts.

Beside it, where the input has one, its bag of counted runs as a second member. Letters: B batch, T tokens, D
width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mapsto.batch import Padded
from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.models._layers import Dropout
from mapsto.models.base import Heads, Net, Only, Stems, Types, WithSummary, in_arithmetic, only_sequence, pool
from mapsto.models.vit import Block, init_linear
from mapsto.signature import Signature


@dataclass(frozen=True)
class Config:
    width: int = setting(128, "width of a token", above=0)
    depth: int = setting(2, "blocks", above=0)
    heads: int = setting(4, "attention heads", above=0)
    mlp: int = setting(4, "hidden layer of a block, in widths", above=0)
    summary: bool = setting(
        True, "let an input's summary, such as a text's bag of counted runs, be a member beside"
    )
    dropout: float = setting(0.2, "share dropped in blocks and of token values", above=-1e-9, below=1)


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    if config.width % config.heads:
        raise ConfigError(
            f"model 'transformer': width {config.width} cannot be divided among {config.heads} heads.\nChoose"
            " a multiple."
        )
    stems = Stems(signature, types, config.width)
    leads = only_sequence(signature, types, stems, "transformer")
    body = Transformer(config)
    return Net(
        stems,
        nn.Sequential(Only(), WithSummary(body, leads, config.summary, config.width, config.width)),
        Heads(signature, types, kinds, config.width, "pooled"),
    )


class Transformer(nn.Module):
    """Padded (B, T, D) -> (B, D)."""

    def __init__(self, config: Config):
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(config.width, config.heads, config.mlp, config.dropout) for _ in range(config.depth)
        )
        self.norm, self.dropout = nn.LayerNorm(config.width), Dropout(config.dropout)
        init_linear(self, "xavier")

    def forward(self, tokens: Padded) -> Tensor:
        x = tokens.values * math.sqrt(tokens.values.shape[2]) + waves(
            tokens.values.shape[1], tokens.values.shape[2]
        ).to(tokens.values)
        x = self.dropout(in_arithmetic(x))
        mask = torch.arange(x.shape[1], device=x.device) < tokens.lengths.clamp(min=1)[:, None]
        for block in self.blocks:
            x = block(x, mask)
        return pool(Padded(self.norm(x), tokens.lengths), "tokens")


def waves(length: int, width: int) -> Tensor:
    """(T, D): sines and cosines of the place, wavelengths from 2π to 10,000 · 2π; any length."""
    place = torch.arange(length)[:, None]
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    return torch.stack([(place * rate).sin(), (place * rate).cos()], 2).flatten(1)[:, :width]
