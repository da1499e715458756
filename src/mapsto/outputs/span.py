"""A stretch of one of the row's texts: the head points at the first and the last word (Wang & Jiang 2017,
pointer networks as in BiDAF and DrQA); of all stretches no longer than those of training the likeliest is
answered.

Letters: n rows, B rows of a batch, T words of the text, D width.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.batch import Batch, Padded
from mapsto.metrics import Arrays, Metric, mean_of
from mapsto.outputs.base import Baseline, Head, Output
from mapsto.prediction import Prediction
from mapsto.types.span import Place
from mapsto.types.text.words import BEGIN, END, NAME, Placed, name_of

NEAR = 10  # words on each side that the simple window looks at


@dataclass(frozen=True)
class Span(Output):
    """Predicted: begin, end (n,), characters, and probability (n,); target: (n,) arrays as the type stores
    them."""

    fields: ClassVar[tuple[str, ...]] = (*Output.fields, "begin", "end")

    def head(self, width: int) -> Head:
        return Pointers(width, self.type.most)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return F1, EXACT

    def baseline(self, name: str, batches: Iterator[Batch]) -> Baseline:
        """Where most words of the other texts stand: the sentence that shares most of them; and in it the
        stretch, as long as answers mostly are, of other words that has most of them around it (Richardson et
        al. 2013's sliding window). Nothing is learned.
        """

        def answer(batch: Batch) -> dict[str, dict[str, np.ndarray]]:
            texts = batch.inputs[self.type.within]
            others = [
                field
                for slot, field in batch.inputs.items()
                if slot != self.type.within and isinstance(field, Padded) and field.values.ndim == 3
            ]
            found = [
                _by_overlap(words, [row for field in others for row in _row(field, i)], self.type.usual)
                for i, words in enumerate(_all(texts))
            ]
            return {
                kind: _as_places([one[k] for one in found]) for k, kind in enumerate(("sentence", "window"))
            }

        return answer


def _all(texts: Any) -> list[np.ndarray]:
    """Padded (B, T, W) -> the words (t, W) of each row."""
    return [
        row[:length] for row, length in zip(texts.values.cpu().numpy(), texts.lengths.tolist(), strict=True)
    ]


def _row(texts: Any, i: int) -> list[int]:
    return texts.values[i, : int(texts.lengths[i]), NAME].tolist()


def _by_overlap(words: np.ndarray, asked: Sequence[int], usual: int) -> tuple[Place, Place]:
    """(sentence, window) of a text's words (t, W)."""
    if not len(words):
        return (0, 0), (0, 0)
    hit = np.isin(words[:, NAME], list(asked))
    ends = np.isin(words[:, NAME], [name_of(sign) for sign in (".", "!", "?", "。", "।")])
    sentence = np.cumsum(np.r_[0, ends[:-1]])
    best = np.argmax([len(set(words[(sentence == k) & hit, NAME].tolist())) for k in range(sentence[-1] + 1)])
    inside = np.flatnonzero(sentence == best)
    first, last = int(inside[0]), int(inside[-1])
    around = np.convolve(hit, np.ones(2 * NEAR + 1), "same")
    starts = range(first, max(first, last - usual + 1) + 1)
    start = max(starts, key=lambda k: (-hit[k : k + usual].sum(), around[k : k + usual].sum()))
    behind = min(start + usual - 1, last)
    return (int(words[first, BEGIN]), int(words[last, END])), (
        int(words[start, BEGIN]),
        int(words[behind, END]),
    )


def _as_places(places: Sequence[Place]) -> dict[str, np.ndarray]:
    found = np.array(places, np.int64).reshape(-1, 2)
    return {"begin": found[:, 0], "end": found[:, 1]}


# ---- metrics ----


def normal(text: str) -> list[str]:
    """Words as SQuAD's script compares them (Rajpurkar et al. 2016): lower case, without punctuation and
    articles."""
    bare = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def overlap(said: Sequence[str], true: Sequence[str]) -> float:
    """F1 of two bags of words; of empty ones whether both are."""
    if not said or not true:
        return float(said == true)
    shared = sum((Counter(said) & Counter(true)).values())
    return 2 * shared / (len(said) + len(true))


def _compared(predicted: Arrays, target: np.ndarray) -> Iterator[tuple[list[str], list[list[str]]]]:
    """(words answered, words of each true answer), row by row."""
    for begin, end, row in zip(predicted["begin"].tolist(), predicted["end"].tolist(), target, strict=True):
        count = int(row[0])
        text = "".join(map(chr, row[1 + 2 * count :].tolist()))
        yield (
            normal(text[begin:end]),
            [normal(text[a:b]) for a, b in row[1 : 1 + 2 * count].reshape(-1, 2).tolist()],
        )


F1 = Metric(
    "f1",
    "Mean over rows of the harmonic mean of precision and recall of the answer's words, against the nearest"
    " true answer (SQuAD's).",
    lambda predicted, target: np.array(
        [max(overlap(said, true) for true in truths) for said, truths in _compared(predicted, target)]
    )[:, None],
    mean_of,
)
EXACT = Metric(
    "exact_match",
    "Share of rows whose answer has the words of a true one, but for case, punctuation and articles"
    " (SQuAD's).",
    lambda predicted, target: np.array(
        [float(said in truths) for said, truths in _compared(predicted, target)]
    )[:, None],
    mean_of,
)


@dataclass(frozen=True)
class Pointed:
    """Scores (B, T) of each word as the first and as the last of an answer, with where the words stand:
    places (B, T, 2), lengths (B,)."""

    start: Tensor
    end: Tensor
    places: Tensor
    lengths: Tensor

    @property
    def mask(self) -> Tensor:
        return torch.arange(self.start.shape[1], device=self.start.device) < self.lengths[:, None]

    def logs(self) -> tuple[Tensor, Tensor]:
        """Log-probabilities (B, T) of both; of texts without words all alike."""
        known = self.mask | (self.lengths == 0)[:, None]
        return tuple(side.float().masked_fill(~known, -1e9).log_softmax(1) for side in (self.start, self.end))  # type: ignore[return-value]


class Pointers(Head):
    """Where an answer begins and ends: tokens (B, T, D), of the text that it stands in -> `Pointed`."""

    expects = "tokens"

    def __init__(self, width: int, most: int):
        super().__init__()
        self.most = most
        self.linear = nn.Linear(width, 2)

    def forward(self, hidden: Placed | Tensor) -> Pointed:
        if not isinstance(hidden, Placed):  # words without places: each is a character long
            begin = torch.arange(hidden.shape[1], device=hidden.device).expand(hidden.shape[:2])
            lengths = torch.full((len(hidden),), hidden.shape[1], device=hidden.device)
            hidden = Placed(hidden, lengths, places=torch.stack([begin, begin + 1], -1))
        assert hidden.places is not None
        start, end = self.linear(hidden.values).unbind(-1)
        return Pointed(start, end, hidden.places, hidden.lengths)

    def loss(self, output: Pointed, target: Any, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Nats of the first word and of the last one, of the first answer. Answers beyond what was read count
        nothing."""
        target = target.values if isinstance(target, Padded) else target
        begin, behind = target[:, 1:2], target[:, 2:3]
        start = ((output.places[..., 1] <= begin) & output.mask).sum(1)  # (B,): words that end before it
        end = ((output.places[..., 0] < behind) & output.mask).sum(1) - 1
        known = (start < output.lengths) & (end >= start) & (target[:, 0] > 0)
        known = known if present is None else known & present
        nats = -sum(
            logs.gather(1, at.clamp(0, logs.shape[1] - 1)[:, None])[:, 0]
            for logs, at in zip(output.logs(), (start, end), strict=True)
        )
        return torch.where(known, nats, 0.0), known.float()

    def predict(self, output: Pointed, options: Any = None) -> dict[str, Tensor]:
        """The likeliest stretch of at most so many words: characters begin, end (B,), and its probability."""
        start, end = output.logs()
        best, first, last = (
            torch.full((len(start),), value, device=start.device) for value in (-torch.inf, 0, 0)
        )
        for more in range(min(self.most, start.shape[1])):
            value, at = (start[:, : start.shape[1] - more] + end[:, more:]).max(1)
            better = value > best
            best, first, last = (
                torch.where(better, value, best),
                torch.where(better, at, first),
                torch.where(better, at + more, last),
            )
        row = torch.arange(len(start), device=start.device)
        begin, behind = output.places[row, first, 0], output.places[row, last, 1]
        there = output.lengths > 0
        return {"begin": begin * there, "end": behind * there, "probability": best.exp() * there}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        """[first character, behind the last] of each."""
        rows = zip(
            predicted["begin"].tolist(),
            predicted["end"].tolist(),
            predicted["probability"].tolist(),
            strict=True,
        )
        return [Prediction([begin, end], chance) for begin, end, chance in rows]
