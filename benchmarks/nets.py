"""The nets that all torch contenders share.

GPT is written here as nanoGPT's `model.py` has it (Radford et al. 2019; no bias, as nanoGPT trains on CPU: n_layer 4, n_head 4, n_embd 128,
block_size 64, dropout 0), so that it is nobody's. The others are mapsto's own, lifted out of it as plain modules. Letters: B batch, T time,
D width, N heads, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GPT(nn.Module):
    """Tokens (B, T) -> logits (B, T, V)."""

    def __init__(self, vocabulary: int, block: int, layers: int, heads: int, width: int):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(block, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width, bias=False), nn.Linear(width, vocabulary, bias=False)
        self.tokens.weight = self.head.weight
        for name, value in self.named_parameters():
            if value.ndim == 2:
                nn.init.normal_(value, std=0.02 / math.sqrt(2 * layers) if name.endswith("_out.weight") else 0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.head(self.norm(self.blocks(self.tokens(tokens) + self.places(places))))


class Block(nn.Module):
    """(B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.mixed_out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down_out = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, time, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)  # each (B, N, T, D/N)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mixed_out(mixed.transpose(1, 2).reshape(batch, time, width))
        return x + self.down_out(F.gelu(self.up(self.norm2(x))))


class Lifted(nn.Module):
    """One of mapsto's nets as a plain module: tensors in, the only output's logits out.

    pictures (B, C, H, W); texts tokens (B, T), lengths (B,); cells numbers (B, n, 2), codes (B, m), either may have no columns."""

    def __init__(self, net: nn.Module, kind: str, numbers: list[str], codes: list[str], slot: str):
        super().__init__()
        self.net, self.kind, self.numbers, self.codes, self.slot = net, kind, numbers, codes, slot

    def forward(self, *inputs: Tensor) -> Tensor:
        (output,) = self.net(self._named(inputs)).values()
        return output

    def _named(self, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
        from mapsto.texts import Texts

        if self.kind == "pictures":
            return {self.slot: inputs[0]}
        if self.kind == "texts":
            return {self.slot: Texts(inputs[0], inputs[1], None)}
        numbers, codes = inputs
        return {name: numbers[:, i] for i, name in enumerate(self.numbers)} | {name: codes[:, i] for i, name in enumerate(self.codes)}
