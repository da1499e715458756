"""A tag for each word of a text: a conditional random field (Lafferty et al. 2001) on a net's tokens, as in
Lample et al. 2016: what follows what is learned, and of names only what is well-formed is ever answered: no
I-person but behind a B-person or I-person.

Letters: n rows, B rows of a batch, T words, K tags, D width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mapsto.metrics import Arrays, Metric, pooled_f1, ratio_of
from mapsto.outputs.base import TINY, Baseline, Marked, Output
from mapsto.prediction import Prediction
from mapsto.types.tags import Entity, entities
from mapsto.types.text.words import names_of

if TYPE_CHECKING:
    from mapsto.batch import Batch
    from mapsto.outputs._head import Head


@dataclass(frozen=True)
class Tags(Output):
    """Predicted: value, (n,) arrays of tag numbers (t,), and probability, (n,) arrays (t, K); target, (n,)
    arrays of tag numbers."""

    fields: ClassVar[tuple[str, ...]] = (*Output.fields, "words", "entities")
    trivial: ClassVar[str] = "majority"

    def head(self, width: int) -> Head:
        from mapsto.outputs._tags_head import Crf

        return Crf(self, width)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return figures(self.type.vocabulary, self.type.names)

    def decode(self, predicted: Arrays) -> list[Prediction]:
        """A list of tags for each row, and how sure each is, where that is known."""
        names = self.type.vocabulary
        found = [Prediction([names[tag] for tag in tags.tolist()]) for tags in predicted["value"]]
        if "probability" not in predicted:
            return found
        sure = [
            chances[np.arange(len(tags)), tags].astype(float)
            for tags, chances in zip(predicted["value"], predicted["probability"], strict=True)
        ]
        return [
            replace(one, detail={"probabilities": each.round(4).tolist()})
            for one, each in zip(found, sure, strict=True)
        ]

    def baseline(self, name: str, batches: Iterator[Batch]) -> Baseline:
        """The most frequent tag alone; and what is known by heart: the names of the training rows, the
        longest first, and each word's most frequent tag."""
        usual: dict[int, Counter[int]] = {}
        known: dict[tuple[int, ...], Counter[str]] = {}
        for batch in batches:
            for words, tags in zip(
                names_of(batch.inputs[self.type.within]), _plain(batch.targets[name]), strict=True
            ):
                for word, tag in zip(words, tags, strict=False):
                    usual.setdefault(word, Counter())[tag] += 1
                for first, behind, kind in (
                    entities([self.type.vocabulary[tag] for tag in tags]) if self.type.names else ()
                ):
                    known.setdefault(tuple(words[first:behind]), Counter())[kind] += 1
        best = {word: max(counts, key=lambda tag: (counts[tag], -tag)) for word, counts in usual.items()}
        other = int(np.argmax(self.type.counts))

        def answer(batch: Batch) -> dict[str, dict[str, np.ndarray]]:
            texts = names_of(batch.inputs[self.type.within])
            usual_tags = [[best.get(word, other) for word in words] for words in texts]
            found = {self.trivial: [[other] * len(words) for words in texts]}
            if self.type.names:
                found["dictionary"] = [self._looked_up(words, known) for words in texts]
            return {name: {"value": _rows(tags)} for name, tags in {**found, "frequent": usual_tags}.items()}

        return answer

    def _looked_up(self, words: Sequence[int], known: Mapping[tuple[int, ...], Counter[str]]) -> list[int]:
        longest = max(map(len, known), default=0)
        tags, at = [0] * len(words), 0
        while at < len(words):
            length = next(
                (
                    n
                    for n in range(min(longest, len(words) - at), 0, -1)
                    if tuple(words[at : at + n]) in known
                ),
                0,
            )
            if length:
                kind = known[tuple(words[at : at + length])].most_common(1)[0][0]
                begin, inside = (self.type.vocabulary.index(f"{mark}-{kind}") for mark in "BI")
                tags[at : at + length] = [begin] + [inside] * (length - 1)
            at += length or 1
        return tags

    def marked(self, predicted: Arrays, target: np.ndarray) -> Marked:
        """Each kind of name, or each tag, by itself; and the words of a text with what they are."""
        vocabulary = self.type.vocabulary
        true = [[vocabulary[tag] for tag in row.tolist()] for row in target]
        said = [
            _as_long([vocabulary[tag] for tag in row.tolist()], len(one), vocabulary[0])
            for row, one in zip(predicted["value"], true, strict=True)
        ]
        pairs = [(self._marks(a), self._marks(b)) for a, b in zip(true, said, strict=True)]
        figures = _by_kind(pairs)
        mistakes = np.array([len(a ^ b) for a, b in pairs], np.int64)
        in_parts, clean = self.type.in_parts, int((mistakes == 0).sum())
        return Marked(
            what="kind of name" if self.type.names else "tag",
            within=self.type.within,
            rows=tuple((kind, *one.values()) for kind, one in figures.items()),
            figures=figures,
            mistakes=mistakes,
            there=np.array([bool(a) for a, _ in pairs], bool),
            headline=f"{clean:,} of {len(true):,} sentences are tagged without a mistake.",
            shown=lambda i, text: (
                ("true", in_parts(text, true[i], said[i])),
                ("it says", in_parts(text, said[i], true[i])),
            ),
        )

    def _marks(self, tags: Sequence[str]) -> set[Entity]:
        """The names, or where tags name nothing every word with its tag."""
        return {*entities(tags)} if self.type.names else {(i, i + 1, tag) for i, tag in enumerate(tags)}


def _as_long(tags: list[str], length: int, other: str) -> list[str]:
    """Of words that were not read nothing is said."""
    return [*tags, *[other] * (length - len(tags))][:length]


def _by_kind(pairs: Sequence[tuple[set[Entity], set[Entity]]]) -> dict[str, dict[str, Any]]:
    """The most frequent kind first."""
    there, answered, right = Counter[str](), Counter[str](), Counter[str]()
    for true, said in pairs:
        for counts, marked in ((there, true), (answered, said), (right, true & said)):
            counts.update(kind for _, _, kind in marked)
    figures = {}
    for kind in sorted({*there, *answered}, key=lambda kind: (-there[kind], kind)):
        hits, guessed, known = right[kind], answered[kind], there[kind]
        figures[kind] = {
            "f1": 2 * hits / (guessed + known),
            "precision": hits / guessed if guessed else None,
            "recall": hits / known if known else None,
            "right": hits,
            "answered": guessed,
            "there": known,
        }
    return figures


def _plain(field: Any) -> list[list[int]]:
    """Padded (B, T) -> its rows as lists."""
    return [row[:length] for row, length in zip(field.values.tolist(), field.lengths.tolist(), strict=True)]


def _rows(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """(n,) objects, each an array."""
    found = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        found[i] = np.array(row, np.int64)
    return found


def figures(vocabulary: tuple[str, ...], names: bool) -> tuple[Metric, ...]:
    """Metrics of predicted {"value": rows of tag numbers} and target, rows likewise; the loss where there is
    "probability", rows (t, K)."""

    def aligned(predicted: Arrays, target: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Predictions as long as the truth: of words that were not read nothing is said."""
        both = zip(predicted["value"], target, strict=True)
        return [(np.r_[said, np.zeros(len(true), np.int64)][: len(true)], true) for said, true in both]

    def pairs(predicted: Arrays, target: np.ndarray) -> np.ndarray:
        """(n, 3): names found rightly, answered, there."""
        counts = []
        for said, true in aligned(predicted, target):
            answered, there = ({*entities([vocabulary[tag] for tag in row.tolist()])} for row in (said, true))
            counts.append((len(answered & there), len(answered), len(there)))
        return np.array(counts, np.float64).reshape(-1, 3)

    def right(predicted: Arrays, target: np.ndarray) -> np.ndarray:
        return np.array(
            [((said == true).sum(), len(true)) for said, true in aligned(predicted, target)], np.float64
        ).reshape(-1, 2)

    def nats(predicted: Arrays, target: np.ndarray) -> np.ndarray:
        if "probability" not in predicted:
            return np.full((len(target), 2), np.nan)
        rows = [
            (row[np.arange(len(row)), true[: len(row)]], len(row))
            for row, true in zip(predicted["probability"], target, strict=True)
        ]
        return np.array([(-np.log(np.maximum(row, TINY)).sum(), n) for row, n in rows], np.float64).reshape(
            -1, 2
        )

    accuracy = Metric("accuracy", "Share of words whose tag is the true one.", right, ratio_of)
    loss = Metric(
        "loss",
        "Mean negative logarithm (nats) of the probability given to a word's true tag.",
        nats,
        ratio_of,
        False,
    )
    if not names:
        return accuracy, loss
    return (*pooled_f1("name", "of the same words and type", pairs), accuracy, loss)
