"""A stretch of one of the row's texts: the head points at the first and the last word (Wang & Jiang 2017,
pointer networks as in BiDAF and DrQA); of all stretches no longer than those of training the likeliest is
answered.

Letters: n rows, B rows of a batch, T words of the text, D width.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mapsto.metrics import Arrays, Metric, mean_of
from mapsto.outputs.base import Baseline, Output
from mapsto.prediction import Prediction
from mapsto.types.span import Place
from mapsto.types.text.words import BEGIN, END, NAME, name_of

if TYPE_CHECKING:
    from mapsto.batch import Batch
    from mapsto.outputs._head import Head

NEAR = 10  # words on each side that the simple window looks at


@dataclass(frozen=True)
class Span(Output):
    """Predicted: begin, end (n,), characters, and probability (n,); target: (n,) arrays as the type stores
    them."""

    fields: ClassVar[tuple[str, ...]] = (*Output.fields, "begin", "end")

    def head(self, width: int) -> Head:
        from mapsto.outputs._span_head import Pointers

        return Pointers(self, width)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return F1, EXACT

    def decode(self, predicted: Arrays) -> list[Prediction]:
        """[first character, behind the last] of each."""
        rows = zip(
            predicted["begin"].tolist(),
            predicted["end"].tolist(),
            predicted["probability"].tolist(),
            strict=True,
        )
        return [Prediction([begin, end], chance) for begin, end, chance in rows]

    def baseline(self, name: str, batches: Iterator[Batch]) -> Baseline:
        """Where most words of the other texts stand: the sentence that shares most of them; and in it the
        stretch, as long as answers mostly are, of other words that has most of them around it (Richardson et
        al. 2013's sliding window). Nothing is learned.
        """

        from mapsto.batch import Padded

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
