"""Vision transformer (Dosovitskiy et al. 2020), with mean pooling as in Beyer, Zhai, Kolesnikov 2022.

Cut the image into patches, project each to a token, add a learned position, run pre-norm transformer blocks,
normalise. Patches by image size: 4 pixels up to 48, 8 up to 112, 16 up to 256, 32 above; a border that does
not fill a patch is padded. pooling=class puts the paper's class token in front and gives it to the heads;
pooling=mean gives all tokens. Letters: B batch, T tokens, D width, N heads, C channels, H W image, P patch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.models._layers import Dropout, attend
from mapsto.models.base import Heads, Net, Stems, Types, in_arithmetic
from mapsto.models.resnet import OnlyInput, drop_path, image_input
from mapsto.signature import Signature


@dataclass(frozen=True)
class Config:
    width: int = setting(192, "width of a token", above=0)
    depth: int = setting(6, "blocks", above=0)
    heads: int = setting(3, "attention heads; they divide the width", above=0)
    patch: int | None = setting(None, "pixels a side of a patch (by image size)", above=0)
    pooling: str = setting(
        "mean", "what the heads see: the mean of all tokens, or a class token", choices=("mean", "class")
    )
    expansion: int = setting(4, "width of the feed-forward layer, in token widths", above=0)
    dropout: float = setting(0.0, "share of values dropped on every residual path", above=-1e-9, below=1)
    stochastic_depth: float = setting(
        0.0, "share of rows that skip the last block, rising linearly from 0", above=-1e-9, below=1
    )
    init: str = setting(
        "xavier", "initial weights: Xavier's, or normal with deviation 0.02", choices=("xavier", "normal")
    )


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    name, channels, size = image_input(signature, types, "vit")
    gives = "pooled" if config.pooling == "class" else "tokens"
    body = VisionTransformer(config, channels, size)
    return Net(
        Stems(signature, types, config.width),
        OnlyInput(name, body),
        Heads(signature, types, kinds, config.width, gives),
    )


def patch_of(size: int) -> int:
    """The patch's side by the image's: 49 to 256 tokens from 28 pixels to 512."""
    for most, patch in ((7, 1), (15, 2), (48, 4), (112, 8), (256, 16)):
        if size <= most:
            return patch
    return 32


class VisionTransformer(nn.Module):
    """(B, C, size, size) -> tokens (B, T, D), or the class token (B, D)."""

    def __init__(self, config: Config, channels: int, size: int):
        super().__init__()
        self.patch = config.patch or patch_of(size)
        tokens = (-(-size // self.patch)) ** 2
        self.project = nn.Conv2d(channels, config.width, self.patch, self.patch)
        self.class_token = nn.Parameter(torch.zeros(config.width)) if config.pooling == "class" else None
        self.positions = nn.Embedding(tokens + (self.class_token is not None), config.width)
        nn.init.normal_(self.positions.weight, std=0.02)
        self.dropout = Dropout(config.dropout)
        skips = [config.stochastic_depth * place / max(config.depth - 1, 1) for place in range(config.depth)]
        self.blocks = nn.Sequential(
            *(Block(config.width, config.heads, config.expansion, config.dropout, skip) for skip in skips)
        )
        self.norm = nn.LayerNorm(config.width)
        init_linear(self, config.init)

    def forward(self, x: Tensor) -> Tensor:
        bottom, right = -x.shape[2] % self.patch, -x.shape[3] % self.patch
        x = (
            F.pad(x, (right // 2, right - right // 2, bottom // 2, bottom - bottom // 2))
            if bottom or right
            else x
        )
        x = self.project(x).flatten(2).transpose(1, 2)  # (B, D, H/P, W/P) -> (B, T, D)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(x.shape[0], 1, -1), x], 1)
        x = self.norm(self.blocks(self.dropout(in_arithmetic(x + self.positions.weight))))
        return x if self.class_token is None else x[:, 0]


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)): (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, heads: int, expansion: int, dropout: float, skip: float = 0.0):
        super().__init__()
        self.skip = skip
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, width * expansion),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(width * expansion, width),
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.kept(self.attention(self.norm1(x), mask))
        return x + self.kept(self.feed_forward(self.norm2(x)))

    def kept(self, residual: Tensor) -> Tensor:
        residual = self.dropout(residual)
        return drop_path(residual, self.skip) if self.training and self.skip else residual


class Attention(nn.Module):
    """Multi-head self-attention. mask (B, T) bool: the tokens that are there."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads:
            raise ConfigError(
                f"width {width} does not divide into {heads} attention heads.\nTake a width that is a"
                " multiple of the heads."
            )
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        batch, time, width = x.shape
        q, k, v = (
            self.qkv(x).view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        )  # each (B, N, T, D/N)
        seen = (
            None if mask is None else mask[:, None, None, :]
        )  # (B, 1, 1, T): every token looks at those that are there
        mixed = attend(q, k, v, seen)
        return self.out(mixed.transpose(1, 2).reshape(batch, time, width))  # (B, N, T, D/N) -> (B, T, D)


def init_linear(net: nn.Module, how: str) -> None:
    """Xavier's uniform (Glorot & Bengio 2010) or a narrow normal for matrices and the patch projection;
    biases zero."""
    for part in net.modules():
        if isinstance(part, (nn.Linear, nn.Conv2d)):
            if how == "xavier":
                nn.init.xavier_uniform_(part.weight.flatten(1))  # a view: a patch is one long input
            else:
                nn.init.trunc_normal_(part.weight, std=0.02)
            assert part.bias is not None
            nn.init.zeros_(part.bias)
