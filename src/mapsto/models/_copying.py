"""A pointer beside the vocabulary (See, Liu & Manning 2017, arXiv:1704.04368): the next token of an answer is
said from the vocabulary or copied from what was read.

P(token) = p_say · vocabulary + p_follow · follow + p_jump · jump. Both pointers are attention over the tokens
read. `jump` looks anywhere; `follow` looks only where the last tokens read are the last ones written, and
prefers the longest such run, as the selective read of CopyNet (Gu et al. 2016) and induction heads (Olsson et
al. 2022) do. An answer's START stands before the first token read, so a net copies its source from the start
before its first step, and learns where to begin and when to leave it. Behind the last token read stands the
START that ends an answer.

Letters: B rows, K answers of each, N = B · K, T tokens written, S tokens read, D width, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Padded
from mapsto.errors import ConfigError
from mapsto.models.base import Types, is_prose
from mapsto.models.gpt import norm
from mapsto.signature import Signature
from mapsto.types.text.tokenizers import FIRST, PADDING, START, pieces_of

RUN = 4  # tokens of a run that are told apart from longer ones
PREFERRED = 3.0  # first weight of a run for each of its tokens: e^3 = 20 times as likely as a shorter one
FAR = -30.0  # of what follows nothing: where nothing follows, all are alike and `follow` looks anywhere
FIRST_GATES = (0.0, 2.0, -1.0)  # of saying, following and jumping: shares of .11, .84 and .04
LEAST = 1e-20  # a probability, whose logarithm is finite


def copied_inputs(asked: bool | None, signature: Signature, types: Types, model: str) -> list[str]:
    """Texts whose tokens an answer may copy: those in its vocabulary; [] where it copies nothing. asked:
    None leaves it to what its type found (`Text.copied`). ConfigError: asked for, and no input has its
    vocabulary."""
    (slot,) = signature.outputs
    answer = types["output", slot.name]
    if asked is False or (asked is None and not answer.copied):  # type: ignore[attr-defined]
        return []
    own = answer.output().spelling
    texts = [types["input", one.name] for one in signature.inputs if is_prose(one)]
    found = [
        one.name for one in signature.inputs if is_prose(one) and own == _spelling(types["input", one.name])
    ]
    if not found and asked:
        known = ", ".join(str(getattr(text, "kind", "")) for text in texts) or "no text"
        raise ConfigError(
            f"model '{model}': copy=true needs one vocabulary on both sides of the arrow, got {known} ->"
            f" {own[0]}.\nLeave tokenizer and size of the texts out, or copy."
        )
    return found


def _spelling(column_type: object) -> tuple[str, ...]:
    return tuple(str(getattr(column_type, name)) for name in ("kind", "codes", "alphabet"))


@dataclass
class Source:
    """What answers may copy: keys (B, S + 1, D), tokens (B, S + 1) with the START behind the last, there (B,
    S + 1); runs (N, S + 1): how long a run of tokens that were just written stands before each; None before
    the first."""

    keys: Tensor
    tokens: Tensor
    there: Tensor
    runs: Tensor | None = None

    def choose(self, rows: Tensor, answers: Tensor) -> None:
        """As a writer's state does (`models._writers.Writer.begin`)."""
        self.runs = None if self.runs is None else self.runs[answers]
        if len(rows) < len(self.keys):
            self.keys, self.tokens, self.there = self.keys[rows], self.tokens[rows], self.there[rows]


class Pointer(nn.Module):
    """Logits of the vocabulary (N, T, V) -> log-probabilities (N, T, V) of what is said or copied."""

    folded: Tensor

    def __init__(self, width: int, memory: int, spelling: tuple[str, str, str]):
        super().__init__()
        self.query = nn.Linear(width, memory, bias=False)
        self.key = nn.Linear(memory, memory, bias=False)
        self.gates = nn.Linear(width + 2 * memory, 3)  # of what was written, and of what would be copied
        self.known = nn.Embedding(RUN + 1, 3)  # the longest run there is, as the gates see it
        self.longer = nn.Parameter(PREFERRED * torch.arange(RUN, dtype=torch.float32))
        nn.init.zeros_(self.gates.weight)
        nn.init.zeros_(self.known.weight)
        with torch.no_grad():
            self.gates.bias.copy_(torch.tensor(FIRST_GATES))
        self.register_buffer("folded", _folded(pieces_of(*spelling)), persistent=False)

    def begin(self, memory: Padded, tokens: Tensor) -> Source:
        """tokens (B, S) that were read, PADDING where there is none to copy."""
        end = torch.arange(tokens.shape[1] + 1, device=tokens.device)
        behind = end == memory.lengths[:, None]  # (B, S + 1)
        found = F.pad(tokens, (0, 1)).masked_fill(behind, START)
        keys = F.pad(norm(self.key(memory.values)), (0, 0, 0, 1)).masked_fill(behind[..., None], 0.0)
        there = (end <= memory.lengths[:, None]) & (end > 0) & (found != PADDING)
        return Source(keys, found, there)

    def forward(self, logits: Tensor, hidden: Tensor, written: Tensor, source: Source) -> Tensor:
        """hidden (N, T, D) behind the tokens `written` (N, T), which follow those that `source` has seen."""
        answers, time = written.shape
        each = answers // max(1, source.keys.shape[0])
        tokens, there = (
            value[:, None].expand(-1, each, -1).flatten(0, 1) for value in (source.tokens, source.there)
        )
        runs = self._runs(written, tokens, source)  # (N, T, S + 1)
        rows, places, width = source.keys.shape
        asked = norm(self.query(hidden)).view(rows, each * time, width)
        scores = (asked @ source.keys.to(asked.dtype).mT).float().view(answers, time, places)
        scores = (scores / math.sqrt(width)).masked_fill(~there[:, None], -torch.inf)
        follow = (scores + F.pad(self.longer, (1, 0), value=FAR)[runs]).softmax(-1)
        jump = scores.softmax(-1)
        gates = self._gates(hidden, follow, jump, source.keys) + self.known(
            runs.masked_fill(~there[:, None], 0).amax(-1)
        )
        gates = gates.float().softmax(-1)  # (N, T, 3)
        copied = gates[..., 1:2] * follow + gates[..., 2:] * jump
        said = gates[..., :1] * logits.float().softmax(-1)
        numbers = tokens[:, None].expand(-1, time, -1)
        return said.scatter_add(-1, numbers, copied).clamp(min=LEAST).log()

    def _gates(self, hidden: Tensor, follow: Tensor, jump: Tensor, keys: Tensor) -> Tensor:
        """(N, T, 3): scores of saying, following and jumping; what each would copy counts (the context of See
        et al.)."""
        answers, time, places = follow.shape
        rows, together = keys.shape[0], answers // max(1, keys.shape[0]) * time
        seen = [
            (weights.to(keys.dtype).view(rows, together, places) @ keys).view(answers, time, keys.shape[2])
            for weights in (follow, jump)
        ]
        return self.gates(torch.cat([hidden, *(one.to(hidden.dtype) for one in seen)], -1))

    def _runs(self, written: Tensor, tokens: Tensor, source: Source) -> Tensor:
        """(N, T, S + 1): tokens before each place of the source that are the last ones written, up to RUN."""
        own, read = self.folded[written], self.folded[F.pad(tokens[:, :-1], (1, 0))]
        last = torch.zeros_like(tokens) if source.runs is None else source.runs
        found = []
        for place in range(written.shape[1]):
            same = read == own[:, place : place + 1]
            last = (same * (1 + F.pad(last[:, :-1], (1, 0)))).clamp(max=RUN)
            found.append(last)
        source.runs = last
        return torch.stack(found, 1)


def _folded(pieces: list[bytes]) -> Tensor:
    """Of each token (V,): a number that it has in common with those that differ in case, or in a blank before
    them, alone."""
    numbers: dict[bytes, int] = {}
    return torch.tensor(
        [
            numbers.setdefault(piece.strip().lower(), number) if number >= FIRST and piece.strip() else number
            for number, piece in enumerate(pieces)
        ]
    )
