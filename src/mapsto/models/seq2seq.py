"""Encoder-decoder transformer (Vaswani et al. 2017): what is given is read in both directions, the answer is
written from left to right.

With what came after: RMSNorm before each part (Xiong et al. 2020), rotary positions (Su et al. 2021), queries
and keys of length 1 (Henry et al. 2020), ReLU² (So et al. 2021), no biases; the parts are those of
`models.gpt`. Several inputs are read as one sequence, each with a mark. Letters: B batch, S tokens read, T
tokens written, D width, N heads, H width of a head, V vocabulary, K answers kept for each row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mapsto.batch import Field, Padded
from mapsto.config import setting
from mapsto.errors import ConfigError
from mapsto.models import gpt
from mapsto.models._copying import Pointer, Source, copied_inputs
from mapsto.models._graph_state import ATTENDED, COPIED, places
from mapsto.models._layers import Dropout, attend
from mapsto.models._writer_state import Growing, copied_tensors
from mapsto.models._writers import Writer
from mapsto.models.base import Heads, Stems, Types, features_of_nothing, in_arithmetic, is_prose, pool
from mapsto.models.gpt import linear, norm, rotary
from mapsto.signature import Signature
from mapsto.types.text.tokenizers import PADDING


@dataclass(frozen=True)
class Config:
    width: int = setting(256, "width of a token", above=0, narrows=8)
    depth: int = setting(3, "blocks of the encoder", above=0)
    decoder: int = setting(3, "blocks of the decoder", above=0)
    heads: int = setting(4, "attention heads", above=0)
    mlp: str = setting("relu2", "the feed-forward part of a block", choices=("swiglu", "relu2"))
    dropout: float = setting(
        0.3, "share dropped of embeddings and of what a block adds", above=-1e-9, below=1
    )
    shared: bool = setting(
        False, "one vocabulary, and one table of its tokens, for what is read and what is written"
    )
    copy: bool | None = setting(
        None, "may tokens be copied from what is read; default: where most words of answers stand there"
    )


def wants(signature: Signature, config: Config) -> dict[str, dict[str, Any]]:
    """Texts as byte pairs, read whole, without bags; learned from all of them together where the vocabulary
    is shared."""
    texts = [slot for slot in signature.slots if is_prose(slot)]
    spec: dict[str, Any] = {"tokenizer": "bpe", "bag": False, "enough": 1.0, "copy": config.copy}
    return {
        slot.name: spec | ({"beside": [slot.column for slot in texts]} if config.shared else {})
        for slot in texts
    }


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Seq2Seq:
    if config.width % (2 * config.heads):
        raise ConfigError(
            f"model 'seq2seq': width {config.width} does not divide into {config.heads} heads of even"
            " width.\nTake a multiple of twice the heads."
        )
    stems = Stems(signature, types, config.width)
    gives = features_of_nothing(stems, signature, types) if signature.inputs else {}
    if wrong := [
        name
        for name, found in gives.items()
        if not isinstance(found, Padded) and (found.ndim != 3 or found.shape[2] != config.width)
    ]:
        raise ConfigError(
            f"model 'seq2seq' reads tokens; '{wrong[0]}' gives none.\nIt takes texts and cells of tables:"
            f" leave '{wrong[0]}' out."
        )
    if not gives:
        raise ConfigError(
            f"model 'seq2seq' writes an answer to something; '{signature}' gives it nothing.\nWrite: text ->"
            " text, or take --model gpt."
        )
    most = sum(types["input", slot.name].max_steps for slot in signature.inputs)
    heads = Heads(signature, types, kinds, config.width, "tokens")
    only_text(heads, "seq2seq")
    copied = copied_inputs(config.copy, signature, types, "seq2seq")
    return Seq2Seq(config, stems, heads, len(gives), most, copied)


class Seq2Seq(Writer):
    """Inputs, and the tokens of an answer (B, T) handed over as `given` -> {slot: logits (B, T, V)} of the
    token behind each."""

    def __init__(
        self,
        config: Config,
        stems: Stems,
        heads: Heads,
        inputs: int,
        longest: int,
        copied: Sequence[str] = (),
    ):
        super().__init__()
        self.slot, head = only_text(heads, "seq2seq")
        self.config, self.most = config, head.longest
        self.stems, self.heads = stems, heads
        self.marks = nn.Parameter(torch.zeros(inputs, config.width)) if inputs > 1 else None
        self.embedding = nn.Embedding(head.vocabulary, config.width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        head.project.weight = self.embedding.weight
        if config.shared:
            for module in stems.modules():
                if isinstance(module, nn.Embedding) and module.weight.shape == self.embedding.weight.shape:
                    module.weight = self.embedding.weight
        self.copied = tuple(copied)
        self.pointer = Pointer(config.width, config.width, head.spelling) if copied else None
        parts = gpt.Config(config.width, 1, config.heads, None, config.mlp, config.dropout)
        self.encoder = nn.ModuleList(Layer(parts, crosses=False) for _ in range(config.depth))
        self.decoder = nn.ModuleList(Layer(parts, crosses=True) for _ in range(config.decoder))
        self.dropout = Dropout(config.dropout)
        cosine, sine = rotary(max(longest, head.most) + inputs, config.width // config.heads)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)

    def forward(
        self, inputs: Mapping[str, Field], condition: Any = None, size: int | None = None
    ) -> dict[str, Tensor]:
        memory = self.read(inputs)
        return self.said(condition, self.written(condition, memory, None), self.source(memory))

    def source(self, memory: Memory) -> Source | None:
        """What may be copied of it."""
        if self.pointer is None or memory.tokens is None:
            return None
        return self.pointer.begin(memory, memory.tokens)

    def said(self, tokens: Tensor, hidden: Tensor, source: Source | None) -> dict[str, Tensor]:
        """{slot: logits (B, T, V)} of the token behind each, from the vocabulary or copied."""
        found = self.heads(hidden)
        if self.pointer is None or source is None:
            return found
        return {self.slot: self.pointer(found[self.slot], hidden, tokens, source)}

    def embed(self, inputs: Mapping[str, Field]) -> Tensor:
        """(B, D): the mean of what was read."""
        memory = self.read(inputs)
        return pool(memory, "tokens")

    def read(self, inputs: Mapping[str, Field]) -> Memory:
        """Inputs -> (B, S, D): what the encoder makes of them."""
        features = self.stems(inputs)
        x, lengths = self.joined(list(features.values()))
        tokens = None if self.pointer is None else self.joined(self.tokens(inputs, features), False)[0]
        time = x.shape[1]
        seen = (torch.arange(time, device=x.device) < lengths[:, None])[:, None, None]  # (B, 1, 1, S)
        x = self.dropout(norm(in_arithmetic(x)))
        for layer in self.encoder:
            x = layer(x, places(self.cosine, 0, time), places(self.sine, 0, time), seen)  # type: ignore[arg-type]
        return Memory(norm(x), lengths, tokens=None if tokens is None else tokens[..., 0])

    def tokens(self, inputs: Mapping[str, Field], features: Mapping[str, Any]) -> list[Any]:
        """Numbers (B, T, 1) of the tokens that each input's features stand for, PADDING where none may be
        copied."""
        found: list[Any] = []
        for name, feature in features.items():
            values = feature.values if isinstance(feature, Padded) else feature  # (B, T, D)
            numbers = torch.full_like(values[..., :1], PADDING, dtype=torch.long)
            if name in self.copied:  # a text's summary stands before its tokens
                own: Any = inputs[name]
                numbers[:, numbers.shape[1] - own.values.shape[1] :, 0] = own.values
            found.append(replace(feature, values=numbers) if isinstance(feature, Padded) else numbers)
        return found

    def joined(self, features: list[Any], marked: bool = True) -> tuple[Tensor, Tensor]:
        """Features of all inputs, Padded or (B, T, D) each, one behind the other without gaps -> (B, S, D),
        lengths (B,). marked: each with its input's mark."""
        if self.marks is None and isinstance(features[0], Padded):
            return features[0].values, features[0].lengths.clamp(min=1)
        parts = [
            found
            if isinstance(found, Padded)
            else Padded(found, torch.full((found.shape[0],), found.shape[1]))
            for found in features
        ]
        values = [
            part.values + (self.marks[i] if self.marks is not None and marked else 0)
            for i, part in enumerate(parts)
        ]
        masks = torch.cat([part.mask.to(values[0].device) for part in parts], 1)
        together = torch.cat(values, 1)
        lengths = masks.sum(1)
        if torch.compiler.is_exporting():  # what sorts there keeps no order of equal ones
            order = torch.where(masks, 0, masks.shape[1]) + torch.arange(masks.shape[1])
            return together.gather(1, order.argsort(1)[..., None].expand_as(together)), lengths.clamp(min=1)
        order = (
            (~masks).to(torch.int8).argsort(dim=1, stable=True)
        )  # known tokens first, each row's in their order
        return together.gather(1, order[..., None].expand_as(together))[
            :, : max(1, int(lengths.max()))
        ], lengths.clamp(min=1)

    def written(self, tokens: Tensor, memory: Padded, state: State | Growing | None) -> Tensor:
        """(B, T) -> (B, T, D). With a state, `tokens` follow those it has seen."""
        start = 0 if state is None else state.length
        end = start + tokens.shape[1]
        seen = memory.mask[:, None, None]  # (B, 1, 1, S)
        x = self.dropout(norm(in_arithmetic(self.embedding(tokens))))
        for number, layer in enumerate(self.decoder):
            known = layer.cross.known(memory.values) if state is None else state.crossed[number]  # type: ignore[union-attr, operator]
            cached = None if state is None else (state, number)
            turned = [places(table, start, end) for table in (self.cosine, self.sine)]  # type: ignore[arg-type]
            x = layer(x, *turned, None, cached, (*known, seen))
        if state is not None:
            state.length = end
        return norm(x)

    # ---- writing token by token (`mapsto.generation.beam`) ----

    def looks(self, inputs: Mapping[str, Field], tokens: Tensor) -> Tensor:
        """What the last block looks at, the mean over its heads."""
        last: Any = self.decoder[-1]
        found: list[Tensor] = []
        handle = last.cross.register_forward_pre_hook(
            lambda cross, condition: found.append(cross.weights(condition[0], condition[1], condition[3]))
        )
        try:
            self.written(tokens, self.read(inputs), None)
        finally:
            handle.remove()
        return found[0]

    def begin(self, inputs: Mapping[str, Field]) -> State:
        memory = self.read(inputs)
        crossed = [layer.cross.known(memory.values) for layer in self.decoder]  # type: ignore[union-attr, operator]
        return State(memory, crossed, self.source(memory))

    def next(self, tokens: Tensor, state: State | Growing) -> Tensor:
        hidden = self.written(tokens[:, None], state.memory, state)
        return self.said(tokens[:, None], hidden, state.source)[self.slot][:, -1].float()

    @property
    def kept_sides(self) -> dict[str, str]:
        return ATTENDED | (COPIED if self.pointer is not None else {})

    def tensors_of(self, state: State | Growing) -> dict[str, Tensor]:
        crossed = torch.stack([part for pair in state.crossed for part in pair])
        found = {"crossed": crossed, "lengths": state.memory.lengths, **copied_tensors(state.source)}
        return found | ({"written": state.written} if isinstance(state, Growing) else {})

    def state_of(self, tensors: Mapping[str, Tensor]) -> Growing:
        return Growing(tensors)


@dataclass(frozen=True)
class Memory(Padded):
    """What was read, (B, S, D), and its tokens (B, S), PADDING where there is none to copy; None where
    nothing is copied."""

    tokens: Tensor | None = None


class State:
    """What is kept while B · K answers are written: the memory (B, S, D), its keys and values for each block,
    those of written tokens, and what may be copied.

    The latter lie in one piece, (T, 2 L, B · K, N, H) for L blocks, so that a new token is written behind the
    others and a choice among answers is copied into a second piece of memory: pieces made anew each time took
    most of the time where answers are long.
    """

    def __init__(self, memory: Padded, crossed: list[tuple[Tensor, Tensor]], source: Source | None = None):
        self.memory, self.crossed, self.source, self.length = memory, crossed, source, 0
        self.kept, self.spare = memory.values.new_empty(0), memory.values.new_empty(0)
        self.shape = (0, 0, 0)  # B · K, N, H

    def extended(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B · K, N, 1, H) of a new token, noted -> those of all tokens up to it."""
        self.shape = (key.shape[0], key.shape[1], key.shape[3])
        if self.kept.dtype != key.dtype:
            self.kept, self.spare = self.kept.to(key.dtype), self.spare.to(key.dtype)
        if self.kept.numel() < (size := self._size(self.length + 1)):
            self.kept = torch.cat(
                [
                    self.kept[: self._size(self.length)],
                    self.kept.new_empty(2 * size - self._size(self.length)),
                ]
            )
        whole = self.kept[:size].view(self.length + 1, 2 * len(self.crossed), *self.shape)
        whole[-1, 2 * layer], whole[-1, 2 * layer + 1] = key[:, :, 0], value[:, :, 0]
        return whole[:, 2 * layer].permute(1, 2, 0, 3), whole[:, 2 * layer + 1].permute(1, 2, 0, 3)

    def _size(self, tokens: int) -> int:
        return tokens * 2 * len(self.crossed) * math.prod(self.shape)

    def choose(self, rows: Tensor, answers: Tensor) -> None:
        before = self.kept[: self._size(self.length)].view(self.length, 2 * len(self.crossed), *self.shape)
        self.shape = (len(answers), *self.shape[1:])
        if self.spare.numel() < (size := self._size(self.length)):
            self.spare = self.kept.new_empty(2 * size)
        after = self.spare[:size].view(self.length, 2 * len(self.crossed), *self.shape)
        torch.index_select(before, 2, answers, out=after)
        self.kept, self.spare = self.spare, self.kept
        if self.source is not None:
            self.source.choose(rows, answers)
        if len(rows) < len(self.memory.lengths):
            self.memory = Padded(self.memory.values[rows], self.memory.lengths[rows])
            self.crossed = [(key[rows], value[rows]) for key, value in self.crossed]


class Layer(nn.Module):
    """x + attention to itself, then in the decoder + attention to what was read, then + feed-forward; each of
    norm(x): (B, T, D) -> (B, T, D)."""

    def __init__(self, config: gpt.Config, crosses: bool):
        super().__init__()
        self.attention = gpt.Attention(config)
        self.cross = Cross(config.width, config.heads) if crosses else None
        self.feed_forward = (gpt.SwiGlu if config.mlp == "swiglu" else gpt.ReluSquared)(config.width)
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        cosine: Tensor,
        sine: Tensor,
        seen: Tensor | None,
        cached: Any = None,
        crossed: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> Tensor:
        x = x + self.dropout(self.attention(norm(x), cosine, sine, cached, seen))
        if self.cross is not None and crossed is not None:
            x = x + self.dropout(self.cross(norm(x), *crossed))
        return x + self.dropout(self.feed_forward(norm(x)))


class Cross(nn.Module):
    """Attention of written tokens to what was read."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.q, self.kv, self.out = (
            linear(width, width),
            linear(width, 2 * width),
            linear(width, width, zero=True),
        )

    def known(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S, D) -> keys and values (B, N, S, H)."""
        key, value = self.kv(memory).view(*memory.shape[:2], 2, self.heads, self.size).permute(2, 0, 3, 1, 4)
        return norm(key), value

    def weights(self, x: Tensor, key: Tensor, seen: Tensor) -> Tensor:
        """x (B, T, D) -> (B, T, S): how much each token of the memory counts, the mean over heads."""
        q = norm(self.q(x).view(*x.shape[:2], self.heads, self.size)).transpose(1, 2)
        return (
            (q.float() @ key.float().mT * self.size**-0.5).masked_fill(~seen, -torch.inf).softmax(-1).mean(1)
        )

    def forward(self, x: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
        """x (B · K, T, D): the K answers to a row look at the same keys, as if they were one long answer."""
        rows, (many, time, width) = key.shape[0], x.shape
        if not rows:
            return self.out(x)
        q = norm(self.q(x).view(rows, many // rows * time, self.heads, self.size))
        q = q.transpose(1, 2)  # (B, N, K · T, H)
        found = attend(q, key.to(q.dtype), value.to(q.dtype), seen)
        return self.out(found.transpose(1, 2).reshape(many, time, width))


def only_text(heads: Heads, model: str) -> tuple[str, Any]:
    """The name and head of the one text right of the arrow."""
    slot, head = heads.items()[0]
    if len(heads.names) != 1 or head.writes != "answer":
        raise ConfigError(
            f"model '{model}' writes one text that answers something, and nothing else.\nWrite: text -> text."
        )
    return slot, head
