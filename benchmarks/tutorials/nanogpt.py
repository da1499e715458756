"""nanoGPT's README, "I only have a macbook" (https://github.com/karpathy/nanoGPT): a validation loss of 1.88.

`python train.py config/train_shakespeare_char.py --device=cpu --compile=False --eval_iters=20
--log_interval=1 --block_size=64 --batch_size=12 --n_layer=4 --n_head=4 --n_embd=128 --max_iters=2000
--lr_decay_iters=2000 --dropout=0.0`: AdamW .9/.99, rate 1e-3 after 100 steps, cosine to 1e-4, weight decay
.1, clipped at 1.

Letters: B batch, T time, D width, N heads, V vocabulary.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.curve import Curve

BLOCK, BATCH, STEPS, LOOK = 64, 12, 2000, 100


class GPT(nn.Module):
    """Tokens (B, T) -> logits (B, T, V)."""

    def __init__(self, vocabulary: int, layers: int = 4, heads: int = 4, width: int = 128):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(BLOCK, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width, bias=False), nn.Linear(width, vocabulary, bias=False)
        self.tokens.weight = self.head.weight
        for name, value in self.named_parameters():
            if value.ndim == 2:
                nn.init.normal_(
                    value, std=0.02 / math.sqrt(2 * layers) if name.endswith("_out.weight") else 0.02
                )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(
            self.norm(self.blocks(self.tokens(tokens) + self.places(torch.arange(tokens.shape[1]))))
        )


class Block(nn.Module):
    """(B, T, D) -> (B, T, D)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.mixed_out = (
            nn.Linear(width, 3 * width, bias=False),
            nn.Linear(width, width, bias=False),
        )
        self.up, self.down_out = (
            nn.Linear(width, 4 * width, bias=False),
            nn.Linear(4 * width, width, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        q, k, v = (
            self.qkv(self.norm1(x))
            .view(batch, time, 3, self.heads, width // self.heads)
            .permute(2, 0, 3, 1, 4)
        )  # each (B, N, T, D/N)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.mixed_out(mixed.transpose(1, 2).reshape(batch, time, width))
        return x + self.down_out(F.gelu(self.up(self.norm2(x))))


def run(files: dict[str, str], curve: Curve, quick: bool) -> None:
    text = Path(files["text"]).read_text()
    place = {sign: i for i, sign in enumerate(sorted(set(text)))}
    tokens = torch.tensor([place[sign] for sign in text])
    cut = len(tokens) * 9 // 10
    train, held = tokens[:cut], tokens[cut:]
    torch.manual_seed(1337)
    net = GPT(len(place))
    groups = [
        {"params": [p for p in net.parameters() if (p.ndim > 1) == two], "weight_decay": 0.1 * two}
        for two in (True, False)
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
    for step in range(40 if quick else STEPS):
        for group in optimizer.param_groups:
            group["lr"] = rate(step)
        inputs, targets = batch_of(train)
        loss = F.cross_entropy(net(inputs).flatten(0, 1), targets.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()  # log_interval 1
        if (step + 1) % (20 if quick else LOOK) == 0:
            curve.measure(lambda: held_loss(net, held))


def batch_of(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Windows at random places and the same shifted by one: (B, T) each."""
    starts = torch.randint(len(tokens) - BLOCK, (BATCH,)).tolist()
    return torch.stack([tokens[i : i + BLOCK] for i in starts]), torch.stack(
        [tokens[i + 1 : i + 1 + BLOCK] for i in starts]
    )


def rate(step: int) -> float:
    """Warm-up over 100 steps, then a cosine to a tenth."""
    if step < 100:
        return 1e-3 * (step + 1) / 101
    return 1e-4 + 0.5 * (1 + math.cos(math.pi * (step - 100) / (STEPS - 100))) * 9e-4


@torch.no_grad()
def held_loss(net: GPT, held: Tensor) -> float:
    """Nats a character over 512 windows evenly spread over the held tenth, the same ones each time."""
    starts = torch.linspace(0, len(held) - BLOCK - 1, 512).long()
    found = held[starts[:, None] + torch.arange(BLOCK + 1)]
    return float(F.cross_entropy(net(found[:, :-1]).flatten(0, 1), found[:, 1:].flatten()))
