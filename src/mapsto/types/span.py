"""A stretch of one of the row's texts: the answer to a question, where it stands (extractive question
answering). Right of the arrow.

The head points at the first and the last word (Wang & Jiang 2017, pointer networks as in BiDAF and DrQA); of
all stretches no longer than those of training the likeliest is answered. Letters: B batch, T words of the
text, N numbers, D width.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.batch import Batch, Draw, Padded, Ragged
from mapsto.cells import Annotated, Column, is_missing, shorten
from mapsto.config import setting
from mapsto.errors import CellError, DataError
from mapsto.metrics import Arrays, Metric, mean_of
from mapsto.prediction import Prediction
from mapsto.signature import Signature
from mapsto.types.base import Baseline, DataType, Head, Layout, last_text, learned
from mapsto.types.text.stems import padded
from mapsto.types.text.words import BEGIN, END, NAME, Placed, name_of, text_of, words_of

MOST = 60  # words of an answer
NEAR = 10  # words on each side that the simple window looks at
Place = tuple[int, int]  # first character, behind the last


@dataclass(frozen=True)
class Found:
    """A read answer: the text it stands in, and where; several where more than one would do."""

    text: str
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Span(DataType):
    """A stretch of a text. Stored: int32 (n,): how many answers, the first and behind the last character of
    each, then the text's characters, by which metrics compare words; none where the answer is missing."""

    modality: ClassVar[str] = "text"
    head_kinds: ClassVar[tuple[str, ...]] = ("span",)
    beside: ClassVar[tuple[str, ...]] = ("begin", "end")

    of: str | None = setting(None, "the input that answers stand in; default: the last text")
    max: int | None = setting(
        None, "words of an answer at most; default: as many as 99 of 100 training answers have", above=0
    )
    within: str = learned("")  # the input
    most: int = learned(0)  # words of an answer
    usual: int = learned(1)  # their median

    @classmethod
    def sniff(cls, column: Column) -> float:
        """Objects with a text and an answer_start, .95."""
        known = column.known[:200]
        fits = [isinstance(cell, Mapping) and {"text", "answer_start"} <= set(cell) for cell in known]
        return 0.95 if fits and all(fits) else 0.0

    def annotates(self, signature: Signature) -> str:
        return last_text(signature, self.of, "span")

    def read(self, cell: Any) -> Found | None:
        """{"text", "answer_start"}, one or lists of as many, or the answer's text alone, which is looked for
        in the row's text."""
        text = text_of(cell.source) if isinstance(cell, Annotated) else None
        answers = _answers(cell.cell if isinstance(cell, Annotated) else cell)
        if not answers:
            return None
        if not isinstance(cell, Annotated):
            return Found("", tuple((start or 0, (start or 0) + len(said)) for said, start in answers))
        return Found(text or "", tuple(_place(said, start, text or "") for said, start in answers))

    def fit(self, values: Sequence[Found | None], spec: Mapping[str, Any]) -> Self:
        """How long answers are."""
        known = [value for value in values if value is not None]
        if not known:
            raise DataError(
                f"'{spec.get('name', 'span')}': no training row has an answer to learn from.\nName another"
                " column right of the arrow."
            )
        lengths = [len(words_of(value.text[begin:end])) for value in known for begin, end in value.places]
        most = self.max or min(MOST, max(1, int(np.quantile(lengths, 0.99, method="inverted_cdf"))))
        return replace(
            self, within=spec.get("into") or self.within, most=most, usual=max(1, int(np.median(lengths)))
        )

    @property
    def layout(self) -> Layout:
        return Layout("int32", (None,))

    def encode(self, value: Found | None) -> np.ndarray:
        if value is None:
            return np.zeros(0, np.int32)
        places = [side for place in value.places for side in place]
        return np.array([len(value.places), *places, *map(ord, value.text)], np.int32)

    def collate(self, arrays: Ragged, draw: Draw | None, geometry: Tensor | None = None) -> Padded:
        """int64 (B, N), as stored; three numbers wide at least."""
        found = padded(arrays.flat.long(), arrays.lengths)
        return replace(found, values=nn.functional.pad(found.values, (0, max(0, 3 - found.values.shape[1]))))

    def present(self, arrays: Ragged) -> Tensor:
        return arrays.lengths > 0

    def show(self, value: Found | None) -> str:
        if value is None:
            return "—"
        begin, end = value.places[0]
        return f"{value.text[begin:end][:200]} ({begin} to {end})"

    def about(self, names: bool = True) -> str:
        return f"answers of {self.usual} words in the middle, {self.most} at most, in '{self.within}'"

    def located(self, prediction: Prediction, cell: Any) -> Prediction:
        """The words that stand there."""
        begin, end = prediction.value
        return replace(
            prediction,
            value=(text_of(cell) or "")[begin:end],
            detail={**prediction.detail, "begin": begin, "end": end},
        )

    def baseline(
        self, name: str, column_types: Mapping[tuple[str, str], DataType], batches: Iterator[Batch]
    ) -> Baseline:
        """Where most words of the other texts stand: the sentence that shares most of them; and in it the
        stretch, as long as answers mostly are, of other words that has most of them around it (Richardson et
        al. 2013's sliding window). Nothing is learned.
        """

        def answer(batch: Batch) -> dict[str, dict[str, np.ndarray]]:
            texts = batch.inputs[self.within]
            others = [
                field
                for slot, field in batch.inputs.items()
                if slot != self.within and isinstance(field, Padded) and field.values.ndim == 3
            ]
            found = [
                _by_overlap(words, [row for field in others for row in _row(field, i)], self.usual)
                for i, words in enumerate(_all(texts))
            ]
            return {
                kind: _as_places([one[k] for one in found]) for k, kind in enumerate(("sentence", "window"))
            }

        return answer

    def head(self, width: int, kind: str) -> Head:
        return Pointers(width, self.most)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return F1, EXACT


def _answers(cell: Any) -> list[tuple[str, int | None]]:
    """[(text, where it begins or None)] of a cell; [] where there is none."""
    if isinstance(cell, Mapping):
        texts, starts = (
            value.tolist() if isinstance(value, np.ndarray) else value
            for value in (cell.get("text"), cell.get("answer_start"))
        )
        one = isinstance(texts, str)
        said: list[Any] = [texts] if one else texts if isinstance(texts, list) else [None]
        where: list[Any] = [starts] if one else starts if isinstance(starts, list) else [None] * len(said)
        fits = (
            len(said) == len(where)
            and all(isinstance(text, str) for text in said)
            and all(isinstance(start, int | None) for start in where)
        )
        if not fits:
            raise CellError(
                f'expected {{"text": …, "answer_start": …}}, or lists of as many, got {shorten(cell)}.\nGive'
                " the answer and where it begins."
            )
        return list(
            dict.fromkeys((text, start) for text, start in zip(said, where, strict=True) if text.strip())
        )
    if isinstance(cell, (str, type(None))) or is_missing(cell):
        return [(cell.strip(), None)] if isinstance(cell, str) and cell.strip() else []
    if isinstance(cell, (int, float)):
        return [(str(cell), None)]
    raise CellError(
        f'expected an answer, {{"text": …, "answer_start": …}} or its text, got {shorten(cell)}.\nGive what'
        " stands in the text."
    )


def _place(said: str, start: int | None, text: str) -> Place:
    """Where an answer stands: where it is said to; else its one place in the text. Without a place given, its
    first. CellError: it does not stand there and elsewhere in no place or in several, of which none can be
    preferred."""
    if start is not None and start >= 0 and text.startswith(said, start):
        return start, start + len(said)
    starts = [found.start() for found in re.finditer(re.escape(said), text)]
    if not starts:
        raise CellError(
            f"the answer {shorten(said)} does not stand in its text, {shorten(text)}.\nGive words of the text"
            " itself."
        )
    if start is not None and len(starts) > 1:
        raise CellError(
            f"the answer {shorten(said)} does not stand at answer_start {start}, but at {len(starts)} other"
            " places of its text.\nCount answer_start in characters from 0."
        )
    return starts[0], starts[0] + len(said)


def moved(cell: Annotated) -> bool:
    """Does one of a raw cell's answers stand in its text, but not where it is said to begin? False where the
    cell cannot be read."""
    text = text_of(cell.source) or ""
    try:
        return any(
            start is not None and _place(said, start, text)[0] != start for said, start in _answers(cell.cell)
        )
    except CellError:
        return False


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
