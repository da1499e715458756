"""Recurrent net: the sequence is read in both directions by an LSTM (Hochreiter & Schmidhuber 1997) or GRU
(Cho et al. 2014), and what matters is gathered by attention (Yang et al. 2016). Beside it, where the input
has one, its bag of counted runs as a second member. Letters: B batch, T tokens, W token width, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mapsto.batch import Padded
from mapsto.config import setting
from mapsto.models import _recurrent
from mapsto.models._layers import Dropout
from mapsto.models.base import Heads, Net, Only, Stems, Types, WithSummary, only_sequence
from mapsto.signature import Signature


@dataclass(frozen=True)
class Config:
    token: int = setting(128, "width of a token", above=0, narrows=8)
    width: int = setting(96, "units of each direction", above=0, narrows=8)
    layers: int = setting(1, "layers", above=0)
    cell: str = setting("lstm", "the recurrent cell", choices=("lstm", "gru"))
    both: bool = setting(True, "read in both directions")
    pooling: str = setting(
        "attention", "how the steps become one vector", choices=("attention", "mean", "last")
    )
    summary: bool = setting(
        True, "let an input's summary, such as a text's bag of counted runs, be a member beside"
    )
    dropout: float = setting(0.4, "share dropped of token values and of what was read", above=-1e-9, below=1)


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    stems = Stems(signature, types, config.token)
    leads = only_sequence(signature, types, stems, "lstm")
    body = Recurrent(config)
    return Net(
        stems,
        nn.Sequential(Only(), WithSummary(body, leads, config.summary, config.token, body.width)),
        Heads(signature, types, kinds, body.width, "pooled"),
    )


class Recurrent(nn.Module):
    """Padded (B, T, W) -> (B, D)."""

    def __init__(self, config: Config):
        super().__init__()
        kind = {"lstm": nn.LSTM, "gru": nn.GRU}[config.cell]
        self.width = config.width * (1 + config.both)
        between = config.dropout if config.layers > 1 else 0.0
        self.cells = kind(
            config.token,
            config.width,
            config.layers,
            batch_first=True,
            dropout=between,
            bidirectional=config.both,
        )
        self.dropout, self.pooling = Dropout(config.dropout), config.pooling
        self.attention = nn.Linear(self.width, 1) if config.pooling == "attention" else None

    def forward(self, tokens: Padded) -> Tensor:
        lengths = tokens.lengths.clamp(min=1)
        read = self.dropout(_recurrent.read(self.cells, self.dropout(tokens.values), lengths))  # (B, T, D)
        mask = torch.arange(read.shape[1], device=read.device) < lengths[:, None]
        if self.attention is not None:
            weight = self.attention(read)[..., 0].float().masked_fill(~mask, -torch.inf).softmax(1)  # (B, T)
            return (read * weight[..., None].to(read.dtype)).sum(1)
        if self.pooling == "mean":
            return (read * mask[..., None]).sum(1) / lengths[:, None]
        half = self.width // 2 if self.cells.bidirectional else self.width
        last = read[
            torch.arange(read.shape[0], device=read.device), lengths - 1
        ]  # the way there ends at the last token, the way back at the first
        return torch.cat([last[:, :half], read[:, 0, half:]], 1)
