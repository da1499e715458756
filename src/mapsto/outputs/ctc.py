"""Texts that are heard (`audio -> text`): connectionist temporal classification (Graves et al. 2006), the
search for the text, its figures.

Every step of the input says a token or nothing (BLANK); a text's probability is the sum over all ways to say
it so, where repeats without a BLANK between them are one token. So no one need know which frame holds which
letter. A text of n tokens, r of them like the one before, takes n + r steps at least. Letters: B batch, T
steps of the input, L tokens of a text, V vocabulary, W texts kept by a search, K tokens tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from mapsto.errors import ConfigError
from mapsto.metrics import Arrays, Metric, mean_of, ratio_of
from mapsto.outputs._ctc_scores import likeliest, log_probabilities, predictions_of, text_of
from mapsto.outputs._text import TextOutput
from mapsto.outputs.base import Baseline
from mapsto.prediction import Prediction
from mapsto.types.text.edits import edits, jiwer
from mapsto.types.text.targets import Values
from mapsto.types.text.tokenizers import alphabet_of, learn_tokenizer, pieces_of, token_numbers

if TYPE_CHECKING:
    from mapsto.batch import Batch, Ragged
    from mapsto.outputs._head import Head

LETTERS, PIECES = 5_000, 512  # in a vocabulary of characters, and of byte pairs, at most


@dataclass(frozen=True)
class Ctc(TextOutput):
    """Predicted: value, (n,) arrays of tokens, probability (n,) of exactly this text, and where the truth is
    known its nats and what they are of, counted (n,); target: (n,) arrays of tokens."""

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
        """Characters, or byte pairs where these are asked for."""
        if own:
            raise ConfigError(
                "a text that is heard is not written in a public model's tokens.\nLeave it out."
            )
        if most is not None:
            raise ConfigError(
                "a text that is heard is as long as what is said, so max has no meaning.\nOptions here:"
                " tokenizer=char or bpe, size."
            )
        texts = [value for value in values if value]
        if tokenizer == "bpe":
            return {"kind": "bpe", "codes": learn_tokenizer("bpe", texts, size or PIECES), "alphabet": ""}
        return {"kind": "char", "codes": "", "alphabet": alphabet_of(texts, size or LETTERS)}

    @classmethod
    def tokens(cls, values: Values, kind: str, codes: str, alphabet: str) -> list[np.ndarray]:
        empty = np.empty(0, np.int32)
        return [
            empty if value is None else found
            for value, found in zip(values, token_numbers(values, kind, codes, alphabet), strict=True)
        ]

    def how(self, most: int) -> str:
        return "found in the input by CTC"

    def head(self, width: int) -> Head:
        from mapsto.outputs._ctc_head import CtcHead

        return CtcHead(width, _pieces(*self.spelling), self.type.kind)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return figures(_pieces(*self.spelling))

    def min_input_steps(self, arrays: Ragged) -> np.ndarray:
        """`least_steps` of encoded texts."""
        tokens, row = arrays.flat.numpy(), arrays.row.numpy()
        again = (tokens[1:] == tokens[:-1]) & (row[1:] == row[:-1])
        return arrays.lengths.numpy() + np.bincount(row[1:][again], minlength=len(arrays))

    def baseline(self, name: str, batches: Iterator[Batch]) -> Baseline:
        """Always the most frequent text of the training rows; and nothing."""
        seen: Counter[tuple[int, ...]] = Counter()
        for batch in batches:
            target: Any = batch.targets[name]
            seen.update(
                tuple(row[:length])
                for row, length in zip(target.values.tolist(), target.lengths.tolist(), strict=True)
                if length
            )
        best = np.array(seen.most_common(1)[0][0] if seen else (), np.int64)

        def rule(batch: Batch) -> dict[str, dict[str, np.ndarray]]:
            found = {"majority": np.empty(batch.size, object), "nothing": np.empty(batch.size, object)}
            for row in range(batch.size):
                found["majority"][row], found["nothing"][row] = best, best[:0]
            return {baseline: {"value": value} for baseline, value in found.items()}

        return rule

    def from_graph(self, predicted: Arrays) -> dict[str, np.ndarray]:
        """Log-probabilities "scores", (n,) arrays (T, V) -> value and probability."""
        value = likeliest(predicted["scores"])
        return {"value": value, "probability": np.exp(log_probabilities(predicted["scores"], value))}

    def decode(self, predicted: Arrays) -> list[Prediction]:
        return predictions_of(predicted, _pieces(*self.spelling))

    def heard(self, predicted: Arrays, target: np.ndarray) -> tuple[list[str], list[str]]:
        pieces = _pieces(*self.spelling)
        true, said = ([text_of(row, pieces) for row in rows] for rows in (target, predicted["value"]))
        return true, said


# --- figures --------------------------------------------------------------------------------------


@cache
def _pieces(kind: str, codes: str, alphabet: str) -> tuple[bytes, ...]:
    return tuple(pieces_of(kind, codes, alphabet))


def figures(pieces: Sequence[bytes]) -> tuple[Metric, ...]:
    """Metrics of predicted {"value": (n,) arrays of tokens, "nats" and "counted": (n,)} and target (n,)
    arrays of tokens. The first is of words where the text has spaces, else of characters."""
    jiwer()  # said before anything is learned

    def both(predicted: Arrays, target: np.ndarray) -> tuple[list[str], list[str]]:
        return [text_of(row, pieces) for row in target], [text_of(row, pieces) for row in predicted["value"]]

    def words(predicted: Arrays, target: np.ndarray) -> np.ndarray:
        return edits(*both(predicted, target))

    def letters(predicted: Arrays, target: np.ndarray) -> np.ndarray:
        return edits(*both(predicted, target), letters=True)

    def exact(predicted: Arrays, target: np.ndarray) -> np.ndarray:
        return np.array(
            [true == said for true, said in zip(*both(predicted, target), strict=True)], np.float64
        )[:, None]

    def loss(predicted: Arrays, target: np.ndarray) -> np.ndarray:
        if "nats" not in predicted:  # a simple rule gives its answer no probability
            return np.full((len(target), 2), np.nan)
        return np.stack([predicted["nats"], predicted["counted"]], 1).astype(np.float64)

    what = "that must be changed, left out or put in to make it true, over those of the truth (jiwer)."
    of_words = Metric("word_error_rate", f"Words {what}", words, ratio_of, False)
    of_letters = Metric("character_error_rate", f"Characters {what}", letters, ratio_of, False)
    spaced = any(b" " in piece for piece in pieces)
    return (
        *((of_words, of_letters) if spaced else (of_letters, of_words)),
        Metric("exact_match", "Share of texts that are right to the letter.", exact, mean_of),
        Metric(
            "loss",
            "Mean negative logarithm (nats) of a text's probability, for each of its tokens.",
            loss,
            ratio_of,
            False,
        ),
    )
