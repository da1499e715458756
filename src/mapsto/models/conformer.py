"""Conformer (Gulati et al. 2020, arXiv:2005.08100): attention for what lies far apart, convolution for what
lies side by side.

A sound's frames come as tokens of 10 to 40 ms (`mapsto.types.audio.spectrum.Frames`). A block is half a
feed-forward layer, self-attention, a convolution and the other half. Two things differ from the paper, so
that a row's answer depends on that row alone: layer norm stands for batch norm in the convolution, which also
makes accumulated gradients exact, and positions are turned into queries and keys (Su et al. 2021) rather than
added. What lies behind a row's end is hidden everywhere.

A token looks at its neighbours only, and attention begins by adding nothing: what is heard is to be written
where it is heard.

Rows of more than `reach` tokens are read in pieces that overlap by half, of which the middle halves are
joined: so a file of minutes is read by a net that learned from seconds, at a cost that grows with its length
alone. Letters: B batch, T tokens, D width, N heads, R reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Padded
from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.models._layers import Dropout, attend
from mapsto.models.base import Heads, Net, Only, Stems, Types, in_arithmetic, only_sequence
from mapsto.models.gpt import rotary, turn
from mapsto.signature import Signature


@dataclass(frozen=True)
class Config:
    width: int = setting(144, "width of a token", above=0, narrows=8)
    depth: int = setting(4, "blocks", above=0)
    heads: int = setting(4, "attention heads", above=0)
    kernel: int = setting(15, "tokens that a convolution looks at; an odd number", above=0)
    expansion: int = setting(4, "hidden layer of a feed-forward half, in widths", above=0)
    dropout: float = setting(0.1, "share of values dropped on every path", above=-1e-9, below=1)
    window: int = setting(
        12,
        "tokens back and ahead that a token looks at, so that what is heard is written where it is heard",
        above=0,
    )
    reach: int = setting(
        1500, "tokens that see each other; longer rows are read in pieces that overlap", above=7
    )


def wants(signature: Signature, config: Config) -> dict[str, dict[str, Any]]:
    """Sounds as frames in order, not as pictures; texts as tokens alone."""
    return {slot.name: {"order": True, "bag": False} for slot in signature.inputs}


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    if config.width % (2 * config.heads):
        raise ConfigError(
            f"model 'conformer': width {config.width} cannot be divided among {config.heads} heads of even"
            " width.\nChoose a multiple."
        )
    if config.kernel % 2 == 0:
        raise ConfigError(
            f"model 'conformer': expected an odd kernel, got {config.kernel}.\nA token looks as far ahead as"
            " back."
        )
    stems = Stems(signature, types, config.width)
    first = int(only_sequence(signature, types, stems, "conformer"))
    return Net(
        stems,
        nn.Sequential(Only(), Conformer(config, first)),
        Heads(signature, types, kinds, config.width, "tokens"),
    )


class Conformer(nn.Module):
    """Padded (B, T, D) -> Padded (B, T, D). first: tokens before those in order, which are left out, such as
    a text's bag."""

    def __init__(self, config: Config, first: int = 0):
        super().__init__()
        self.first, self.reach, self.window = first, config.reach, config.window
        self.size = config.width // config.heads
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))

    def forward(self, tokens: Padded) -> Padded:
        x, lengths = tokens.values[:, self.first :], (tokens.lengths - self.first).clamp(min=0)
        counts = tuple(max(0, count - self.first) for count in tokens.counts)
        x = self.dropout(in_arithmetic(x))
        whole = not torch.compiler.is_exporting() and x.shape[1] <= self.reach
        return Padded(self.read(x, lengths) if whole else self.in_pieces(x, lengths), lengths, counts)

    def read(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, D), of which `lengths` (B,) are there -> (B, T, D); a row of none is read as one of one."""
        place = torch.arange(x.shape[1], device=x.device)
        mask = place < lengths.clamp(min=1)[:, None]
        near = (place[:, None] - place).abs() <= self.window
        seen = (mask[:, None] & near | (place[:, None] == place))[:, None]  # (B, 1, T, T); itself always
        cosine, sine = (table.to(x.device) for table in rotary(x.shape[1], self.size))
        for block in self.blocks:
            x = block(x, mask, seen, cosine, sine)
        return x

    def in_pieces(self, x: Tensor, lengths: Tensor) -> Tensor:
        """`read` in pieces of `reach` tokens. A row's last piece is the one that reaches its end, whatever
        stands beside it in the batch."""
        batch, time, width = x.shape
        step = self.reach // 2
        pieces = 1 + torch.sym_max(0, time - self.reach + step - 1) // step
        start = step * torch.arange(pieces, device=x.device)
        left = (lengths[:, None] - start).clamp(0, self.reach)  # (B, K)
        every = (start[:, None] + torch.arange(self.reach, device=x.device)).clamp(max=time - 1)
        parts = x.index_select(1, every.flatten()).view(-1, self.reach, width)  # (B · K, R, D)
        found = self.read(parts, left.flatten()).view(batch, -1, width)  # (B, K · R, D)
        place = torch.arange(time, device=x.device)
        last = ((lengths - self.reach).clamp(min=0) + step - 1) // step  # (B,)
        piece = torch.minimum(
            (place - (self.reach - step) // 2).clamp(min=0) // step, last[:, None]
        )  # (B, T)
        at = (piece * self.reach + (place - piece * step).clamp(max=self.reach - 1))[..., None].expand(
            -1, -1, width
        )
        return found.gather(1, at)


class Block(nn.Module):
    """Half a feed-forward layer, attention, convolution, the other half, norm: (B, T, D) -> (B, T, D). mask
    (B, T): the tokens that are there; seen (B, 1, T, T): which of them each looks at."""

    def __init__(self, config: Config):
        super().__init__()
        self.before, self.after = FeedForward(config), FeedForward(config)
        self.attention, self.convolution = (
            Attention(config.width, config.heads),
            Convolution(config.width, config.kernel),
        )
        self.dropout, self.norm = Dropout(config.dropout), nn.LayerNorm(config.width)

    def forward(self, x: Tensor, mask: Tensor, seen: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        x = x + 0.5 * self.before(x)
        x = x + self.dropout(self.attention(x, seen, cosine, sine))
        x = x + self.dropout(self.convolution(x, mask))
        return self.norm(x + 0.5 * self.after(x))


class FeedForward(nn.Sequential):
    """(B, T, D) -> (B, T, D)."""

    def __init__(self, config: Config):
        width, inner = config.width, config.width * config.expansion
        dropped = [Dropout(config.dropout) for _ in range(2)]
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, inner),
            nn.SiLU(),
            dropped[0],
            nn.Linear(inner, width),
            dropped[1],
        )


class Attention(nn.Module):
    """Self-attention that knows how far apart tokens are: (B, T, D) -> (B, T, D). It begins by adding
    nothing."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, seen: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        batch, time, width = x.shape
        q, k, v = (
            self.qkv(self.norm(x)).view(batch, time, 3, self.heads, width // self.heads).unbind(2)
        )  # each (B, T, N, H)
        q, k = turn(q, cosine, sine), turn(k, cosine, sine)
        mixed = attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), seen)
        return self.out(mixed.transpose(1, 2).reshape(batch, time, width))


class Convolution(nn.Module):
    """A gate, a convolution of each channel over time, a norm: (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, kernel: int):
        super().__init__()
        self.norm, self.rise = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.each = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm_inside, self.fall = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = F.glu(self.rise(self.norm(x)), -1) * mask[..., None]
        x = self.each(x.transpose(1, 2)).transpose(1, 2)  # (B, D, T) and back
        return self.fall(F.silu(self.norm_inside(x)))
