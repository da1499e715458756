"""The head of texts that are heard (`mapsto.outputs.ctc`), its loss, and the search for the text.

Letters: B batch, T steps of the input, L tokens of a text, V vocabulary, W texts kept by a search, K tokens
tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mapsto.batch import Padded
from mapsto.config import options_of, setting
from mapsto.errors import ConfigError
from mapsto.outputs._ctc_scores import BLANK, predictions_of
from mapsto.outputs._head import Head
from mapsto.prediction import Prediction
from mapsto.types.text.tokenizers import FIRST, PADDING, START, UNKNOWN, pieces_of

# To begin with BLANK is e^2 times as likely as a token, so that texts are sought all over the input. Without
# it, nets write every token as soon
# as the input begins: 30 clips of eight words were heard with a word error rate of .0042 after 160 steps, and
# of .43 after 240 without;
# at e^4 a net of 32 units no longer found them.
SILENT = 2.0
TRIED = 16  # tokens that a search tries at each step, at least
WITH_LANGUAGE = 10  # texts kept where a language model is asked and nobody says how many
FAINTEST = -12.0  # of what a language model says of a token: one that it does not know is not impossible
PRIME = 1_000_003  # of the hashes by which equal texts are known
CONFIDENT = 0.1  # a token that is surer somewhere is said there
NOTHING = -1e30  # the logarithm of no probability; infinities would make nan of differences

Continuations = Callable[
    [Tensor, Tensor], Tensor
]  # texts (n, L) of lengths (n,) -> log-probabilities (n, V) of what follows; START: the end


@dataclass(frozen=True)
class Search:
    """How the text is searched for."""

    beam: int = setting(
        0,
        "texts that a prefix-beam search keeps; 0: the likeliest token of each step, or 10 with a language"
        " model",
        above=-1,
    )
    lm_weight: float = setting(0.5, "how much a language model counts", above=-1e-9)
    bonus: float = setting(0.0, "added for each token, against a language model's love of short texts")


@dataclass(frozen=True)
class Decoding:
    """A search, and what a language model says follows, in this text's tokens."""

    search: Search
    follows: Continuations | None = None


class CtcHead(Head):
    """Padded tokens (B, T, D) -> Padded logits (B, T, V)."""

    expects = "tokens"

    def __init__(self, width: int, pieces: Sequence[bytes], kind: str = "char"):
        super().__init__()
        self.pieces, self.kind, self.project = tuple(pieces), kind, nn.Linear(width, len(pieces))
        with torch.no_grad():
            self.project.bias[BLANK] += SILENT

    def forward(self, hidden: Padded) -> Padded:
        return Padded(self.project(hidden.values), hidden.lengths, hidden.counts)

    def loss(self, output: Padded, target: Padded, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Nats of each row's text, and its tokens, one at least. A text that takes more steps than there are
        counts nothing."""
        possible = least_steps(target) <= output.lengths.clamp(min=1)
        known = possible if present is None else possible & present
        nats = nats_of(output, target)
        return torch.where(known, nats, 0.0), known * target.lengths.clamp(min=1).to(nats.dtype)

    def target_stats(
        self, output: Padded, target: Padded, present: Tensor | None = None
    ) -> dict[str, Tensor]:
        """nats, and tokens they are of (B,)."""
        nats, count = self.loss(output, target, present)
        return {"nats": nats, "counted": count}

    def decoding(self, how: Mapping[str, Any], language: Any = None) -> Decoding:
        search = options_of(Search, how, "search")
        if how.get("beam") is not None and not search.beam:
            raise ConfigError(
                "--beam: expected 1 or more, got 0.\n1 takes the likeliest token of each step; so does"
                " leaving --beam out."
            )
        if (search.lm_weight != Search.lm_weight or search.bonus) and language is None:
            raise ConfigError(
                "--lm-weight (and bonus, in Python) weighs a language model, and none was given.\nName its"
                " run: --lm RUN."
            )
        search = replace(search, beam=search.beam or (WITH_LANGUAGE if language else 0))
        if language is None:
            return Decoding(search)
        return Decoding(search, continuations(language[0], language[1], self.pieces, self.kind))

    def moments(self, output: Padded, most: int) -> tuple[list[str], np.ndarray]:
        """Of the first row (names of at most `most` tokens in the order in which they are said, how sure each
        is at each step (K + 1, T), nothing last)."""
        chance = output.values[0, : int(output.lengths[:1].clamp(min=1))].float().softmax(-1).cpu().numpy()
        likely = np.argsort(-chance.max(0), kind="stable")[:most].tolist()
        shown = [token for token in likely if chance[:, token].max() > CONFIDENT and token != BLANK]
        shown = sorted(shown, key=lambda token: int(chance[:, token].argmax()))
        names = [self.pieces[token].decode("utf-8", "replace").replace(" ", "␣") for token in shown]
        return names, chance[:, [*shown, BLANK]].T

    def predict(self, output: Padded, options: Decoding | None = None) -> dict[str, Any]:
        """value: Padded tokens (B, L); probability (B,) of exactly this text."""
        scores = output.values.float().log_softmax(-1)
        if options is None or not options.search.beam:
            found = greedy(scores.argmax(-1), output.lengths)
        else:
            found = beamed(scores, output.lengths, options.search, options.follows)
        return {"value": found, "probability": (-nats_of(output, found)).exp().clamp(max=1.0)}

    def predict_graph(self, output: Padded) -> dict[str, Any]:
        """Log-probabilities (B, T, V) alone: what is said in them is found without a net
        (`outputs._ctc_scores`)."""
        scores = output.values.float().log_softmax(-1)
        return {"scores": Padded(scores, output.lengths.clamp(min=1))}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        return predictions_of(predicted, self.pieces)


def least_steps(target: Padded) -> Tensor:
    """(B,): steps that each text takes at least: its tokens, and a BLANK between two that are alike."""
    tokens = target.values
    inside = torch.arange(1, max(1, tokens.shape[1]), device=tokens.device) < target.lengths[:, None]
    return target.lengths + (
        (tokens[:, 1:] == tokens[:, :-1]) & inside[:, : max(0, tokens.shape[1] - 1)]
    ).sum(1)


def nats_of(output: Padded, target: Padded) -> Tensor:
    """(B,): -ln of each text's probability; 0, and no gradient, where it is impossible. Lengths as plain
    numbers, where they are at hand, spare a GPU the wait."""
    scores = output.values.float().log_softmax(-1).transpose(0, 1)  # (T, B, V)
    steps: Any = (
        tuple(max(1, count) for count in output.counts)
        if output.counts and target.counts
        else output.lengths.clamp(min=1)
    )
    tokens: Any = target.counts if isinstance(steps, tuple) else target.lengths
    if not scores.shape[1]:
        return scores.sum((0, 2))
    return F.ctc_loss(scores, target.values.long(), steps, tokens, BLANK, "none", zero_infinity=True)  # type: ignore[arg-type]


def greedy(said: Tensor, lengths: Tensor) -> Padded:
    """The token each step says, (B, T) -> Padded (B, L): repeats are one, BLANK is none."""
    batch, time = said.shape
    new = torch.ones_like(said, dtype=torch.bool)
    new[:, 1:] = said[:, 1:] != said[:, :-1]
    kept = new & (said != BLANK) & (torch.arange(time, device=said.device) < lengths.clamp(min=1)[:, None])
    place = torch.where(
        kept, kept.cumsum(1) - 1, time
    )  # what is not kept goes to a place beyond, which is cut off
    return Padded(said.new_full((batch, time + 1), PADDING).scatter_(1, place, said)[:, :time], kept.sum(1))


def beamed(scores: Tensor, lengths: Tensor, search: Search, follows: Continuations | None = None) -> Padded:
    """Prefix-beam search (Hannun et al. 2014) of all rows at once. scores (B, T, V): log-probabilities;
    lengths (B,). follows: a language model, in this text's tokens, which counts at every token and at the
    end."""
    beam = _Beam(scores, search, follows if search.lm_weight else None)
    for step in range(scores.shape[1]):
        beam.step(scores[:, step], step < lengths.clamp(min=1))
    return beam.best()


class _Beam:
    """W texts of each row (B, W) with the logarithms of the probabilities that they were said and a BLANK
    stands last, or a token does."""

    def __init__(self, scores: Tensor, search: Search, language: Continuations | None):
        self.search, self.language, self.vocabulary = search, language, scores.shape[2]
        self.shape = (len(scores), search.beam)
        self.tried = min(self.vocabulary - 1, max(TRIED, search.beam))
        self.blank = scores.new_full(self.shape, NOTHING)
        self.blank[:, 0] = 0.0
        self.token = scores.new_full(self.shape, NOTHING)
        self.texts = torch.full(
            (*self.shape, 1), PADDING, device=scores.device
        )  # (B, W, L), grown where needed
        self.lengths = torch.zeros(self.shape, dtype=torch.long, device=scores.device)
        self.hashes = (
            -torch.arange(1, search.beam + 1, device=scores.device).expand(self.shape).clone()
        )  # those not yet filled are like none
        self.bonus = scores.new_zeros(self.shape)
        self.follows: Tensor | None = (
            None  # (B, W, V): what the language model says of each text's next token
        )
        if language is not None and len(scores):
            self.follows = language(self.texts[:1, 0], self.lengths[:1, 0]).to(scores).expand(*self.shape, -1)

    @property
    def last(self) -> Tensor:
        """(B, W): the last token of each text; BLANK where it has none."""
        return self.texts.gather(2, (self.lengths - 1).clamp(min=0)[..., None])[..., 0]

    def step(self, scores: Tensor, going: Tensor) -> None:
        """One step of the input, of the rows that are still going on (B,). scores (B, V)."""
        whole = torch.logaddexp(self.blank, self.token)
        chance, tried = scores.index_fill(1, torch.tensor([BLANK], device=scores.device), NOTHING).topk(
            self.tried
        )  # (B, K)
        blank = whole + scores[:, BLANK, None]
        again = torch.where(self.lengths > 0, self.token + scores.gather(1, self.last), NOTHING)
        before = torch.where(
            tried[:, None] == self.last[..., None], self.blank[..., None], whole[..., None]
        )  # (B, W, K)
        longer = (before + chance[:, None]).clamp(min=NOTHING)
        hashes = self.hashes[..., None] * PRIME + tried[:, None]
        same = (
            hashes[..., None] == self.hashes[:, None, None]
        )  # (B, W, K, W): a longer text is one that is there already
        token = torch.logaddexp(
            again, longer[..., None].masked_fill(~same, NOTHING).flatten(1, 2).logsumexp(1)
        )
        longer = longer.masked_fill(same.any(3), NOTHING)
        bonus = (self.bonus + self.search.bonus)[..., None].expand(longer.shape)
        if self.follows is not None:
            bonus = bonus + self.search.lm_weight * self.follows.gather(
                2, tried[:, None].expand(longer.shape)
            )
        rank = torch.cat([torch.logaddexp(blank, token) + self.bonus, (longer + bonus).flatten(1)], 1)
        chosen = rank.topk(self.shape[1])[1]  # (B, W) of W that stay and W · K that grow
        grown = chosen >= self.shape[1]
        parent = torch.where(grown, (chosen - self.shape[1]).clamp(min=0) // self.tried, chosen)
        candidate = (chosen - self.shape[1]).clamp(min=0)
        made = {
            "blank": torch.where(grown, NOTHING, blank.gather(1, parent)),
            "token": torch.where(grown, longer.flatten(1).gather(1, candidate), token.gather(1, parent)),
            "hashes": torch.where(
                grown, hashes.flatten(1).gather(1, candidate), self.hashes.gather(1, parent)
            ),
            "bonus": torch.where(grown, bonus.flatten(1).gather(1, candidate), self.bonus.gather(1, parent)),
        }
        added = torch.where(grown, tried.gather(1, candidate % self.tried), PADDING)
        self._take(made, parent, added, grown, going)

    def _take(
        self, made: Mapping[str, Tensor], parent: Tensor, added: Tensor, grown: Tensor, going: Tensor
    ) -> None:
        """The chosen texts in place of the old ones, in rows that are going on."""
        going, grown = going[:, None], grown & going[:, None]
        for name, value in made.items():
            setattr(self, name, torch.where(going, value, getattr(self, name)))
        parent = torch.where(going, parent, torch.arange(self.shape[1], device=parent.device))
        lengths = self.lengths.gather(1, parent)
        if int(lengths.max()) + 1 > self.texts.shape[2]:
            self.texts = F.pad(self.texts, (0, self.texts.shape[2]), value=PADDING)
        texts = self.texts.gather(1, parent[..., None].expand(self.texts.shape))
        place = lengths[..., None]
        self.texts = texts.scatter(
            2, place, torch.where(grown, added, texts.gather(2, place)[..., 0])[..., None]
        )
        self.lengths = lengths + grown
        if self.follows is not None and self.language is not None:
            self.follows = self.follows.gather(1, parent[..., None].expand(self.follows.shape))
            if grown.any():
                self.follows[grown] = self.language(self.texts[grown], self.lengths[grown]).to(self.follows)

    def best(self) -> Padded:
        rank = torch.logaddexp(self.blank, self.token) + self.bonus
        if self.follows is not None:
            rank = rank + self.search.lm_weight * self.follows[..., START]
        first = rank.argmax(1)[:, None]
        lengths = self.lengths.gather(1, first)[:, 0]
        texts = self.texts.gather(1, first[..., None].expand(-1, -1, self.texts.shape[2]))[:, 0]
        return Padded(texts, lengths)


def continuations(model: Any, column_type: Any, pieces: Sequence[bytes], kind: str) -> Continuations:
    """A net that learned `-> text`, and the room of its text, as what follows a text of these pieces.
    ConfigError: written in other tokens."""
    known = {
        piece: number
        for number, piece in enumerate(pieces_of(column_type.kind, column_type.codes, column_type.alphabet))
        if number >= FIRST
    }
    if kind != column_type.kind or not any(piece in known for piece in pieces[FIRST:]):
        raise ConfigError(
            f"--lm: the language model writes in {column_type.kind}, this run in {kind}, or their letters"
            f" differ.\nTrain one in the same tokens: -> text(tokenizer={kind})."
        )
    ends = (
        known.get(b"\n", UNKNOWN) if column_type.running else START
    )  # what stands before a text, and behind it
    numbers = torch.tensor([known.get(piece, UNKNOWN) for piece in pieces])
    numbers[START] = ends

    def follows(texts: Tensor, lengths: Tensor) -> Tensor:
        """(n, L) texts of lengths (n,) -> (n, V); of a text beyond the net's reach the last tokens are
        read."""
        mapped = numbers.to(texts.device)
        begun = torch.cat([torch.full_like(texts[:, :1], ends), mapped[texts]], 1)  # (n, 1 + L)
        first = (lengths + 1 - model.most).clamp(min=0)[:, None]
        place = first + torch.arange(min(model.most, int(lengths.max()) + 1), device=texts.device)
        hidden = model.hidden(begun.gather(1, place.clamp(max=begun.shape[1] - 1)))
        last = hidden.gather(1, (lengths[:, None] - first)[..., None].expand(-1, -1, hidden.shape[2]))
        (logits,) = model.heads(last).values()
        return logits[:, 0].float().log_softmax(-1)[:, mapped].clamp(min=FAINTEST)

    return follows
