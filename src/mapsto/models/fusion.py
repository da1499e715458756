"""Any number of inputs of any types into any outputs: `photo:image, age:number -> diagnosis:category,
days:number`.

Every input becomes tokens of one width: table cells by their rooms, each image by a residual net of its own,
pooled to one token. mix=concat lays the tokens side by side into an MLP (or TabM, with members);
mix=attention lets them look at each other and at a class token in a small transformer first (as
FT-Transformer, Gorishniy et al. 2021, does for tables).

A missing table cell has its own token from its room, an empty sequence counts nothing. A missing image (all
zeros, as its room gives it) is replaced by a learned token; `hide` does the same to some rows in training, so
that the net learns to do without. Letters: B batch, T tokens, S slots, D width, C channels, H W image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mapsto.batch import Padded
from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.models import mlp, resnet
from mapsto.models.base import Heads, Net, Stems, Types, pool
from mapsto.models.linear import feature_shapes, needs_input
from mapsto.models.vit import Block, init_linear
from mapsto.signature import Signature


@dataclass(frozen=True)
class Config:
    mix: str = setting(
        "concat", "how inputs meet: side by side in an MLP, or by attention", choices=("concat", "attention")
    )
    token: int = setting(64, "width of an input's token", above=0, narrows=8)
    width: int = setting(256, "units of the MLP's layers", above=0, narrows=8)
    depth: int = setting(2, "layers of the MLP", above=0)
    members: int = setting(1, "nets in one after the tokens, sharing their weights (TabM)", above=0)
    blocks: int | None = setting(None, "attention blocks, with mix=attention (2)", above=0)
    heads: int | None = setting(None, "attention heads, with mix=attention (4)", above=0)
    dropout: float = setting(0.1, "share of units dropped after each layer", above=-1e-9, below=1)
    hide: float = setting(
        0.05,
        "share of rows whose image is hidden in training, when there are other inputs",
        above=-1e-9,
        below=1,
    )
    image_depth: int | None = setting(
        None, "depth of an image's residual net (20 up to 64 pixels, 18 above)", above=3
    )
    image_width: int | None = setting(None, "channels of its first stage (see resnet)", above=0)


def wants(signature: Signature, config: Config) -> dict[str, dict[str, Any]]:
    """Side by side, a text is one token, its bag; attention takes all its tokens."""
    return {slot.name: {"fixed": config.mix == "concat"} for slot in signature.inputs}


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    needs_input(signature, "fusion")
    if config.mix == "concat" and (config.blocks or config.heads):
        raise ConfigError(
            "model 'fusion': blocks and heads are those of mix=attention.\nAdd mix=attention or leave them"
            " out."
        )
    stems = Stems(signature, types, config.token)
    body = Fusion(config, feature_shapes(stems, signature, types, "fusion", sequences=True), stems.gives)
    return Net(stems, body, Heads(signature, types, kinds, config.width, "pooled"))


class Fusion(nn.Module):
    """{slot: features} -> (B, D), or (B, M, D) with members. shapes: one row's features, (None, D) for a
    sequence."""

    def __init__(
        self, config: Config, shapes: Mapping[str, tuple[int | None, ...]], gives: Mapping[str, str]
    ):
        super().__init__()
        attend = config.mix == "attention"
        hide = config.hide if len(shapes) > 1 else 0.0
        self.names = tuple(shapes)
        self.slots = nn.ModuleList(
            slot_of(gives[name], shape, attend, hide, config) for name, shape in shapes.items()
        )
        self.mix = AttentionMix(config, len(shapes)) if attend else ConcatMix()
        tokens = (
            1
            if attend
            else sum(shape[0] or 1 if gives[name] == "tokens" else 1 for name, shape in shapes.items())
        )
        settings = mlp.Config(
            width=config.width, depth=config.depth, members=config.members, dropout=config.dropout
        )
        self.mlp = mlp.Mlp([config.token] * tokens, settings)

    def forward(self, features: Mapping[str, Any]) -> Tensor:
        tokens = [slot(features[name]) for name, slot in zip(self.names, self.slots, strict=True)]
        return self.mlp(self.mix(tokens))


def slot_of(
    gives: str, shape: tuple[int | None, ...], attend: bool, hide: float, config: Config
) -> nn.Module:
    """What makes an input tokens of width config.token."""
    if gives == "map":
        channels, *sides = (side or 1 for side in shape)
        return ImageSlot(channels, max(sides), hide, config)
    if gives == "pooled":
        return PooledSlot(shape[0] or 1, config.token)
    return MeanSlot() if shape[0] is None and not attend else nn.Identity()


class ImageSlot(nn.Module):
    """(B, C, H, W) -> one token (B, 1, D) by a residual net. hide: share of rows treated as missing in
    training."""

    def __init__(self, channels: int, size: int, hide: float, config: Config):
        super().__init__()
        self.hide = hide
        self.body = resnet.features(
            resnet.Config(depth=config.image_depth, width=config.image_width), channels, size
        )
        self.project = nn.Linear(self.body.width, config.token)
        self.missing = nn.Parameter(torch.zeros(config.token))

    def forward(self, x: Tensor) -> Tensor:
        known = (x != 0).flatten(1).any(1)  # (B,)
        token = self.project(pool(self.body(x), "map"))
        if self.training and self.hide:
            known = known & (torch.rand(len(x), device=x.device) >= self.hide)
        return torch.where(known[:, None], token, self.missing.to(token.dtype))[:, None]


class PooledSlot(nn.Module):
    """(B, F) -> one token (B, 1, D)."""

    def __init__(self, features: int, width: int):
        super().__init__()
        self.project = nn.Linear(features, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(x)[:, None]


class MeanSlot(nn.Module):
    """A sequence's mean as one token (B, 1, D); zero when it is empty."""

    def forward(self, x: Padded) -> Tensor:
        return pool(x, "tokens")[:, None]


class ConcatMix(nn.Module):
    """[(B, T, D) of each slot] -> side by side (B, S·T·D)."""

    def forward(self, tokens: list[Tensor]) -> Tensor:
        return torch.cat(tokens, 1).flatten(1)


class AttentionMix(nn.Module):
    """[(B, T, D) or Padded of each slot] -> what a class token gathered from them (B, D)."""

    def __init__(self, config: Config, slots: int):
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(config.token))
        self.slot = nn.Embedding(slots, config.token)  # which slot a token comes from
        nn.init.normal_(self.slot.weight, std=0.02)
        self.blocks = nn.ModuleList(
            Block(config.token, config.heads or 4, 4, config.dropout) for _ in range(config.blocks or 2)
        )
        self.norm = nn.LayerNorm(config.token)
        init_linear(self, "xavier")

    def forward(self, tokens: list[Tensor | Padded]) -> Tensor:
        values = [found.values if isinstance(found, Padded) else found for found in tokens]
        batch = values[0].shape[0]
        x = torch.cat(
            [
                self.class_token.expand(batch, 1, -1),
                *(value + mark for value, mark in zip(values, self.slot.weight, strict=True)),
            ],
            1,
        )
        for block in self.blocks:
            x = block(x, self.mask(tokens, x))
        return self.norm(x[:, 0])

    def mask(self, tokens: list[Tensor | Padded], x: Tensor) -> Tensor | None:
        """(B, T) bool, the tokens that are there; None when all are."""
        if not any(isinstance(found, Padded) for found in tokens):
            return None
        always = torch.ones(x.shape[0], 1, dtype=torch.bool, device=x.device)
        return torch.cat(
            [
                always,
                *(
                    found.mask if isinstance(found, Padded) else always.expand(-1, found.shape[1])
                    for found in tokens
                ),
            ],
            1,
        )
