"""Texts that answer something (`text -> text`): each is written from its first token to its end.

A text is its tokens and a START, which ends it; several that are right lie behind each other
(`mapsto.types.text.references`). Letters: n rows, B rows of a batch, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mapsto.metrics import Arrays, Metric
from mapsto.outputs._text import TextOutput
from mapsto.outputs.base import Written
from mapsto.prediction import Prediction
from mapsto.types.text.cells import texts_of
from mapsto.types.text.pretrained import PUBLIC
from mapsto.types.text.several import apart, joined
from mapsto.types.text.similarity import figures
from mapsto.types.text.targets import Values, decode_texts
from mapsto.types.text.tokenizers import START, alphabet_of, byte_pairs, token_numbers

if TYPE_CHECKING:
    from mapsto.outputs._head import Head

REACH, AHEAD = (
    1024,
    1.5,
)  # tokens that a text has at most; in lengths of the longest that was seen, as not every text was
# share of the answers seen whose lengths, times AHEAD, say how long an answer may become: one that never ends
# costs most
USUAL = 0.99
SMALL, LETTERS = 50_000, 128  # characters of training text, and different ones, up to which each is a token
SHORT = 4  # tokens of the middle answer below which answers are alike where they are equal


@dataclass(frozen=True)
class Sequence(TextOutput):
    """Predicted: value, (n,) arrays of tokens, score (n,), and where the truth is known its nats (n,);
    target: (n,) arrays of tokens, all of a row's references."""

    whole: ClassVar[bool] = True
    searched: ClassVar[bool] = True

    @classmethod
    def learn(
        cls,
        values: Values,
        tokenizer: str | None,
        size: int | None,
        most: int | None,
        beside: Values = (),
        own: str = "",
    ) -> dict[str, Any]:
        """Characters where texts are single words or there are few of
        them; else byte pairs. own: codes of `tokenizer`, or where that is None a public model's, in place of
        learned ones."""
        texts = [text for value in values for text in texts_of(value) if text]
        characters = sum(map(len, texts))
        single = sum(len(text.split()) for text in texts) < 1.1 * len(texts)
        few = (single or characters <= SMALL) and len(alphabet_of(texts, LETTERS + 1)) <= LETTERS
        kind = tokenizer or ("char" if few else "bpe")
        if own:
            found: dict[str, Any] = {"kind": tokenizer or PUBLIC, "codes": own, "alphabet": ""}
        elif kind == "char":
            found = {"kind": kind, "codes": "", "alphabet": alphabet_of(texts, size or 5_000)}
        else:
            found = {"kind": kind, "codes": byte_pairs(beside or texts, size), "alphabet": ""}  # type: ignore[arg-type]
        lengths = np.array([len(tokens) for tokens in cls.tokens(texts, **found)])
        reach, writes = (
            min(REACH, math.ceil(AHEAD * length / 8) * 8)
            for length in (lengths.max(), np.quantile(lengths, USUAL))
        )
        return {**found, "most": most or reach, "writes": min(most or reach, writes)}

    @classmethod
    def tokens(cls, values: Values, kind: str, codes: str, alphabet: str) -> list[np.ndarray]:
        """Texts as token numbers and the START that ends them, int32 (n,) each; nothing for what is missing,
        all references of a list."""
        end = np.array([START], np.int32)
        references = [texts_of(value) for value in values]
        found = iter(
            token_numbers(
                [text for texts in references for text in texts], kind, codes, alphabet, answers=True
            )
        )
        return [joined([np.concatenate([next(found), end]) for _ in texts]) for texts in references]

    def how(self, most: int) -> str:
        return f"{most} tokens at most"

    def head(self, width: int) -> Head:
        from mapsto.outputs._sequence_head import WholeText

        column_type = self.type
        longest = min(column_type.writes, column_type.most)
        return WholeText(width, column_type.vocabulary_size, column_type.most, longest, self)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return figures(lambda rows: decode_texts(rows, *self.spelling))

    def decode(self, predicted: Arrays) -> list[Prediction]:
        """Texts, each with its probability as a whole. predicted: value, (B,) arrays of tokens; score (B,),
        their log-probabilities."""
        texts = decode_texts(predicted["value"], *self.spelling)
        chances = (
            np.exp(np.asarray(predicted["score"], np.float64)).tolist()
            if "score" in predicted
            else [None] * len(texts)
        )
        return [Prediction(text, chance) for text, chance in zip(texts, chances, strict=True)]

    def spread(self, predicted: Arrays) -> float:
        """The usual log-probability of a text: a sum over its tokens."""
        return max(1.0, float(np.median(np.abs(predicted["score"])))) if len(predicted["score"]) else 1.0

    def written(self, predicted: Arrays, target: np.ndarray) -> Written:
        """Answers beside their references. They are alike by the words they share, or where they are of a few
        tokens, by whether they are equal."""
        tokens = [apart(row) for row in target]  # of each reference
        lengths = np.array([max(1, len(several[0])) for several in tokens], np.int64)
        by_name = {metric.name: metric for metric in self.metrics}
        measure = by_name["exact_match" if len(target) and np.median(lengths) < SHORT else "rougel"]
        said, each = (
            decode_texts(rows, *self.spelling) for rows in (predicted["value"], chain.from_iterable(tokens))
        )
        references = iter(each)
        return Written(
            said=said,
            references=[[next(references) for _ in several] for several in tokens],
            similarity=measure.rows(predicted, target)[:, 0],
            nats=predicted["nats"] / lengths,
            lengths=lengths,
            relative=np.array([len(row) for row in predicted["value"]]) / np.maximum(1, lengths - 1),
        )
