"""A decoder that reads from left to right: every token looks at itself and those before it, and says what
comes next.

Radford et al. 2019 (GPT-2) with what came after: RMSNorm without weights (Zhang & Sennrich 2019), rotary
positions (Su et al. 2021), queries and keys of length 1 (Henry et al. 2020), fewer heads for keys than for
queries (Ainslie et al. 2023), SwiGLU (Shazeer 2020) or ReLU² (So et al. 2021), no biases. Letters: B batch, T
tokens, D width, N query heads, K key heads, H width of a head, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Field
from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.models._graph_state import GrownCache, places
from mapsto.models._layers import Dropout, attend
from mapsto.models._writers import LanguageModel
from mapsto.models.base import Heads, Types, in_arithmetic
from mapsto.signature import Signature
from mapsto.types.text.tokenizers import START

BASE = 10_000.0  # of the rotary frequencies
EPS = 1e-6  # below which a vector is no longer brought to length 1


@dataclass(frozen=True)
class Config:
    width: int = setting(256, "width of a token", above=0, narrows=8)
    depth: int = setting(6, "blocks", above=0)
    heads: int = setting(4, "attention heads", above=0)
    kv_heads: int | None = setting(
        None, "heads of keys and values, which several query heads share; default: as many as heads", above=0
    )
    mlp: str = setting("relu2", "the feed-forward part of a block", choices=("swiglu", "relu2"))
    dropout: float = setting(0.0, "share dropped of what a block adds", above=-1e-9, below=1)
    tied: bool = setting(True, "read and write tokens with one table")


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Gpt:
    if signature.inputs or len(signature.outputs) != 1:
        raise ConfigError(
            f"model 'gpt' learns one text and is given nothing; got '{signature}'.\nWrite: -> text."
        )
    keys = config.kv_heads or config.heads
    if config.width % (2 * config.heads) or config.heads % keys:
        raise ConfigError(
            f"model 'gpt': width {config.width} does not divide into {config.heads} heads of even width, or"
            f" these into {keys} groups.\nTake a width that is a multiple of twice the heads, and kv_heads"
            " that divide the heads."
        )
    return Gpt(config, Heads(signature, types, kinds, config.width, "tokens"))


class Gpt(LanguageModel):
    """Tokens (B, T), handed over as `given` -> {slot: logits (B, T, V)} of the token behind each."""

    def __init__(self, config: Config, heads: Heads):
        super().__init__()
        head: Any
        ((_, head),) = heads.items()
        if head.writes != "next":
            raise ConfigError(
                "model 'gpt' says what token comes next, the output is none of tokens.\nWrite: -> text."
            )
        self.config, self.most, self.separate = config, head.most, head.separate
        self.embedding = nn.Embedding(head.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.heads = heads
        cosine, sine = rotary(head.most, config.width // config.heads)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        nn.init.normal_(self.embedding.weight, std=0.02)
        if config.tied:
            head.project.weight = self.embedding.weight

    def forward(
        self, inputs: Mapping[str, Field], condition: Any = None, size: int | None = None
    ) -> dict[str, Tensor]:
        return self.heads(self.hidden(condition))

    def hidden(self, tokens: Tensor, cache: Cache | GrownCache | None = None) -> Tensor:
        """(B, T) -> (B, T, D). With a cache, `tokens` follow those it has seen; the first call may hand over
        many, later ones one each."""
        start = 0 if cache is None else cache.length
        end = start + tokens.shape[1]
        x = norm(in_arithmetic(self.embedding(tokens)))
        seen = together(tokens) if self.separate and cache is None else None
        seen = cache.seen(tokens.shape[1]) if isinstance(cache, GrownCache) else seen
        for layer, block in enumerate(self.blocks):
            x = block(
                x,
                places(self.cosine, start, end),  # type: ignore[arg-type]
                places(self.sine, start, end),  # type: ignore[arg-type]
                None if cache is None else (cache, layer),
                seen,
            )
        if cache is not None:
            cache.length = end
        return norm(x)

    def next(self, tokens: Tensor, cache: Cache | GrownCache | None = None) -> Tensor:
        """(B, T) -> (B, V) float32: logits of the token behind the last."""
        (found,) = self.heads(self.hidden(tokens, cache)[:, -1:]).values()
        return found[:, -1].float()

    def cache(self, rows: int) -> Cache:
        """An empty cache for so many texts at once."""
        keys, weight = self.config.kv_heads or self.config.heads, self.embedding.weight
        shape = (self.config.depth, 2, rows, keys, self.most, self.config.width // self.config.heads)
        return Cache(torch.zeros(shape, device=weight.device, dtype=weight.dtype))

    def kept_tensor(self, cache: Cache | GrownCache) -> Tensor:
        return cache.kept

    def cache_of(self, kept: Tensor) -> GrownCache:
        return GrownCache(kept)


class Cache:
    """Keys and values of the tokens seen, so that each is computed once. kept (depth, 2, B, K, most, H);
    length: tokens seen."""

    def __init__(self, kept: Tensor):
        self.kept, self.length = kept, 0

    def extended(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, K, T, H) of new tokens, noted -> those of all tokens up to the last new one."""
        end = self.length + key.shape[2]
        self.kept[layer, 0, :, :, self.length : end] = key
        self.kept[layer, 1, :, :, self.length : end] = value
        return self.kept[layer, 0, :, :, :end], self.kept[layer, 1, :, :, :end]


class Block(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)): (B, T, D) -> (B, T, D)."""

    def __init__(self, config: Config):
        super().__init__()
        self.attention = Attention(config)
        self.feed_forward = (SwiGlu if config.mlp == "swiglu" else ReluSquared)(config.width)
        self.dropout = Dropout(config.dropout) if config.dropout else nn.Identity()

    def forward(
        self,
        x: Tensor,
        cosine: Tensor,
        sine: Tensor,
        cached: tuple[Any, int] | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        x = x + self.dropout(self.attention(norm(x), cosine, sine, cached, seen))
        return x + self.dropout(self.feed_forward(norm(x)))


class Attention(nn.Module):
    """Causal self-attention; queries and keys are brought to length 1 (times √H) and turned by their
    position. seen (B, 1, T, T): what may be looked at, where that is less than everything before."""

    def __init__(self, config: Config):
        super().__init__()
        self.heads, self.keys = config.heads, config.kv_heads or config.heads
        self.size = config.width // config.heads
        self.qkv = linear(config.width, (self.heads + 2 * self.keys) * self.size)
        self.out = linear(config.width, config.width, zero=True)

    def forward(
        self,
        x: Tensor,
        cosine: Tensor,
        sine: Tensor,
        cached: tuple[Any, int] | None = None,
        seen: Tensor | None = None,
    ) -> Tensor:
        batch, time, width = x.shape
        mixed = self.qkv(x).view(batch, time, self.heads + 2 * self.keys, self.size)  # (B, T, N + 2K, H)
        turned, v = mixed.split([self.heads + self.keys, self.keys], 2)
        turned = turn(norm(turned), cosine, sine)
        q, k = turned.split([self.heads, self.keys], 2)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, N or K, T, H)
        if cached is not None:
            k, v = (found.to(q.dtype) for found in cached[0].extended(cached[1], k, v))
        found = attend(q, k, v, seen, causal=seen is None and time > 1)
        return self.out(found.transpose(1, 2).reshape(batch, time, width))


class ReluSquared(nn.Module):
    """Four widths, relu(x)²: (B, T, D) -> (B, T, D)."""

    def __init__(self, width: int):
        super().__init__()
        self.rise, self.fall = linear(width, 4 * width), linear(4 * width, width, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.fall(relu_squared(self.rise(x)))


class SwiGlu(nn.Module):
    """silu(gate) · value, of 8/3 widths so that it has as many weights as four plain ones: (B, T, D) -> (B,
    T, D)."""

    def __init__(self, width: int):
        super().__init__()
        inner = -(-8 * width // (3 * 16)) * 16
        self.rise, self.fall = linear(width, 2 * inner), linear(inner, width, zero=True)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.rise(x).chunk(2, -1)
        return self.fall(F.silu(gate) * value)


def together(tokens: Tensor) -> Tensor:
    """(B, T) -> (B, 1, T, T) bool: each token and those before it, back to the START of its text. Positions
    are relative, so a text is read behind others as it is alone."""
    text = (tokens == START).cumsum(1)  # (B, T): which text of the block
    return ((text[:, :, None] == text[:, None, :]).tril())[:, None]


def linear(ins: int, outs: int, zero: bool = False) -> nn.Linear:
    """Without bias; uniform of variance 1 / ins, or zero where a branch ends, so that a fresh net passes
    tokens through."""
    made = nn.Linear(ins, outs, bias=False)
    if zero:
        nn.init.zeros_(made.weight)
    else:
        nn.init.uniform_(made.weight, -((3 / ins) ** 0.5), (3 / ins) ** 0.5)
    return made


def norm(x: Tensor) -> Tensor:
    """x / √mean(x²) over the last dimension."""
    return _Norm.apply(x) if x.device.type == "cpu" else F.rms_norm(x, (x.shape[-1],), eps=EPS)  # type: ignore[no-any-return]


def relu_squared(x: Tensor) -> Tensor:
    return _ReluSquared.apply(x) if x.device.type == "cpu" else F.relu(x).square()  # type: ignore[no-any-return]


class _Norm(torch.autograd.Function):
    """`F.rms_norm` with its gradient in one formula, r (g - y · mean(g y)): on processors it is no single
    kernel, and takes twice as long forward and backward (271 µs against 162 for 768 × 128 values, 629 against
    299 for the heads' queries and keys).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = (x.square().mean(-1, keepdim=True) + EPS).rsqrt()
        y = x * scale
        ctx.save_for_backward(y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        y, scale = ctx.saved_tensors
        return torch.addcmul(grad, y, (grad * y).mean(-1, keepdim=True), value=-1).mul_(scale)


class _ReluSquared(torch.autograd.Function):
    """relu(x)² in two kernels each way instead of six (478 µs against 270 for 768 × 512 values)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        kept = F.relu(x)
        ctx.save_for_backward(kept)
        return kept * kept

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        (kept,) = ctx.saved_tensors
        return (grad * kept).mul_(2)


def rotary(most: int, size: int) -> tuple[Tensor, Tensor]:
    """(most, 1, H) cosines and signed sines of each position's angles, for `turn`."""
    frequency = BASE ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)  # (H/2,)
    angle = torch.arange(most, dtype=torch.float32)[:, None] * frequency  # (most, H/2)
    cosine, sine = angle.cos(), angle.sin()
    return torch.cat([cosine, cosine], 1)[:, None], torch.cat([-sine, sine], 1)[:, None]


def turn(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions: the pairs (x_i, x_{i + H/2}) turned by their angles. (B, T, N, H); three kernels
    instead of seven."""
    return torch.addcmul(x * cosine.to(x.dtype), x.roll(x.shape[-1] // 2, -1), sine.to(x.dtype))
