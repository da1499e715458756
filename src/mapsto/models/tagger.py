"""Recurrent net that says something of every word: an LSTM in both directions over word vectors with their
letters (Huang et al. 2015, Lample et al. 2016). With the head of `tags` it is a BiLSTM-CRF. Letters: B batch,
T words, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from mapsto.batch import Padded
from mapsto.config import setting
from mapsto.models import _recurrent
from mapsto.models._layers import Dropout
from mapsto.models.base import Heads, Net, Only, Stems, Types, only_sequence
from mapsto.signature import Signature


@dataclass(frozen=True)
class Config:
    token: int = setting(96, "width of a word's vector", above=0, narrows=8)
    width: int = setting(96, "units of each direction", above=0, narrows=8)
    layers: int = setting(1, "layers", above=0)
    dropout: float = setting(0.5, "share dropped of word vectors and of what was read", above=-1e-9, below=1)


def wants(signature: Signature, config: Config) -> dict[str, dict[str, Any]]:
    return {slot.name: {"apart": True} for slot in signature.inputs}


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    stems = Stems(signature, types, config.token)
    only_sequence(signature, types, stems, "tagger")
    body = BothWays(config.token, config.width, config.layers, config.dropout)
    return Net(stems, nn.Sequential(Only(), body), Heads(signature, types, kinds, 2 * config.width, "tokens"))


class BothWays(nn.Module):
    """Padded (B, T, W) -> Padded (B, T, 2 D): what stands before and behind each token."""

    def __init__(self, token: int, width: int, layers: int, dropout: float):
        super().__init__()
        self.cells = nn.LSTM(
            token, width, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0, bidirectional=True
        )
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Padded) -> Padded:
        read = _recurrent.read(self.cells, self.dropout(tokens.values), tokens.lengths.clamp(min=1))
        return Padded(self.dropout(read), tokens.lengths, tokens.counts)
