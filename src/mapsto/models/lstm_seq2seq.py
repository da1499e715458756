"""Encoder-decoder of two LSTMs with attention (Sutskever et al. 2014; Bahdanau et al. 2015): one reads in
both directions, the other writes and at each token looks back at what was read (general attention behind the
cell, Luong et al. 2015, without input feeding, so that all tokens of a true answer are learned in one
stroke). Letters: B batch, S tokens read, T tokens written, W token width, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Field, Padded
from mapsto.config import setting
from mapsto.models import _recurrent
from mapsto.models._copying import Pointer, Source, copied_inputs
from mapsto.models._graph_state import COPIED, RECURRENT
from mapsto.models._layers import Dropout
from mapsto.models._writer_state import copied_tensors, source_of
from mapsto.models._writers import Writer
from mapsto.models.base import Heads, Stems, Types, only_sequence, pool
from mapsto.models.seq2seq import Config as Vocabulary
from mapsto.models.seq2seq import only_text
from mapsto.models.seq2seq import wants as wanted
from mapsto.signature import Signature
from mapsto.types.text.tokenizers import PADDING


@dataclass(frozen=True)
class Config:
    token: int = setting(192, "width of a token", above=0, narrows=8)
    width: int = setting(
        256, "units of the writing net, and of both directions of the reading one", above=1, narrows=8
    )
    layers: int = setting(1, "layers of each", above=0)
    dropout: float = setting(0.3, "share dropped of token values and between layers", above=-1e-9, below=1)
    shared: bool = setting(False, "one vocabulary for what is read and what is written")
    copy: bool | None = setting(
        None, "may tokens be copied from what is read; default: where most words of answers stand there"
    )


def wants(signature: Signature, config: Config) -> dict[str, dict[str, Any]]:
    """As the transformer does."""
    return wanted(signature, Vocabulary(shared=config.shared, copy=config.copy))


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> LstmSeq2Seq:
    stems = Stems(signature, types, config.token)
    only_sequence(signature, types, stems, "lstm_seq2seq")
    heads = Heads(signature, types, kinds, config.width, "tokens")
    only_text(heads, "lstm_seq2seq")
    return LstmSeq2Seq(config, stems, heads, copied_inputs(config.copy, signature, types, "lstm_seq2seq"))


class LstmSeq2Seq(Writer):
    """Inputs, and the tokens of an answer (B, T) handed over as `given` -> {slot: logits (B, T, V)} of the
    token behind each."""

    def __init__(self, config: Config, stems: Stems, heads: Heads, copied: Sequence[str] = ()):
        super().__init__()
        self.slot, head = only_text(heads, "lstm_seq2seq")
        self.most, self.stems, self.heads, self.layers = head.longest, stems, heads, config.layers
        between, width = config.dropout if config.layers > 1 else 0.0, config.width // 2 * 2
        self.embedding = nn.Embedding(head.vocabulary, config.token)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.encoder = nn.LSTM(
            config.token, width // 2, config.layers, batch_first=True, dropout=between, bidirectional=True
        )
        self.decoder = nn.LSTM(config.token, config.width, config.layers, batch_first=True, dropout=between)
        self.start = nn.Linear(width, 2 * config.width)  # what was read, as the writing net's first state
        self.look = nn.Linear(config.width, width, bias=False)
        self.mix = nn.Linear(config.width + width, config.width)
        self.pointer = Pointer(config.width, width, head.spelling) if copied else None
        self.dropout = Dropout(config.dropout)

    def forward(
        self, inputs: Mapping[str, Field], condition: Any = None, size: int | None = None
    ) -> dict[str, Tensor]:
        state = self.begin(inputs)
        return self.said(condition, self.written(condition, state), state.source)

    def said(self, tokens: Tensor, hidden: Tensor, source: Source | None) -> dict[str, Tensor]:
        """{slot: logits (B · K, T, V)} of the token behind each, from the vocabulary or copied."""
        found = self.heads(hidden)
        if self.pointer is None or source is None:
            return found
        return {self.slot: self.pointer(found[self.slot], hidden, tokens, source)}

    def embed(self, inputs: Mapping[str, Field]) -> Tensor:
        """(B, D): the mean of what was read."""
        return pool(self.begin(inputs).memory, "tokens")

    def begin(self, inputs: Mapping[str, Field]) -> State:
        (tokens,) = self.stems(inputs).values()
        lengths = tokens.lengths.clamp(min=1)
        memory, last = _recurrent.read_and_last(self.encoder, self.dropout(tokens.values), lengths)
        ends = (
            last.unflatten(0, (self.layers, 2)).permute(0, 2, 1, 3).flatten(2)
        )  # (L, B, D): both directions
        hidden, cell = self.start(ends).tanh().chunk(2, -1)
        kept = Padded(self.dropout(memory), lengths)
        source = None if self.pointer is None else self.pointer.begin(kept, self._numbers(inputs, tokens))
        return State(kept, hidden.contiguous(), cell.contiguous(), source)

    def _numbers(self, inputs: Mapping[str, Field], tokens: Padded) -> Tensor:
        """(B, S): of the tokens read; a text's summary stands before them."""
        own: Any
        (own,) = inputs.values()
        return F.pad(own.values, (tokens.values.shape[1] - own.values.shape[1], 0), value=PADDING)

    def written(self, tokens: Tensor, state: State) -> Tensor:
        """(B · K, T) behind those the state has seen -> (B · K, T, D)."""
        given, before = self.dropout(self.embedding(tokens)), (state.hidden, state.cell)
        if torch.compiler.is_exporting():
            found, state.hidden, state.cell = _recurrent.step(self.decoder, given, *before)
        else:
            found, (state.hidden, state.cell) = self.decoder(given, before)
        seen = (
            self._weights(found, state.memory).to(found.dtype) @ state.memory.values.to(found.dtype)
        ).view(*found.shape[:2], -1)
        return self.dropout(self.mix(torch.cat([found, seen], -1)).tanh())

    def _weights(self, found: Tensor, memory: Padded) -> Tensor:
        """(B · K, T, D) -> (B, K · T, S): what of the memory counts; the K answers to a row are as one long
        one."""
        asked = self.look(found).reshape(memory.lengths.shape[0], -1, memory.values.shape[2])
        return (
            (asked @ memory.values.to(asked.dtype).mT)
            .float()
            .masked_fill(~memory.mask[:, None], -torch.inf)
            .softmax(-1)
        )

    def looks(self, inputs: Mapping[str, Field], tokens: Tensor) -> Tensor:
        state = self.begin(inputs)
        return self._weights(
            self.decoder(self.embedding(tokens), (state.hidden, state.cell))[0], state.memory
        )

    def next(self, tokens: Tensor, state: State) -> Tensor:
        hidden = self.written(tokens[:, None], state)
        return self.said(tokens[:, None], hidden, state.source)[self.slot][:, -1].float()

    @property
    def kept_sides(self) -> dict[str, str]:
        return RECURRENT | (COPIED if self.pointer is not None else {})

    def tensors_of(self, state: State) -> dict[str, Tensor]:
        sizes = (state.memory.values.shape[0], -1)
        hidden, cell = (one.unflatten(1, sizes) for one in (state.hidden, state.cell))
        own = {"memory": state.memory.values, "lengths": state.memory.lengths, "hidden": hidden, "cell": cell}
        return own | copied_tensors(state.source)

    def state_of(self, tensors: Mapping[str, Tensor]) -> State:
        hidden, cell = (tensors[name].flatten(1, 2) for name in ("hidden", "cell"))
        return State(Padded(tensors["memory"], tensors["lengths"]), hidden, cell, source_of(tensors))


class State:
    """What is kept while answers are written: memory (B, S, D), hidden and cell (layers, B · K, D), and
    what may be copied."""

    def __init__(self, memory: Padded, hidden: Tensor, cell: Tensor, source: Source | None):
        self.memory, self.hidden, self.cell, self.source = memory, hidden, cell, source

    def choose(self, rows: Tensor, answers: Tensor) -> None:
        """Go on with some of the rows (b,), and some of their answers (b · K,): positions among those there
        are."""
        self.hidden, self.cell = self.hidden[:, answers].contiguous(), self.cell[:, answers].contiguous()
        if self.source is not None:
            self.source.choose(rows, answers)
        if len(rows) < len(self.memory.lengths):
            self.memory = Padded(self.memory.values[rows], self.memory.lengths[rows])
