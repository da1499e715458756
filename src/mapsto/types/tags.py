"""A tag for each word of a text: names (B-person, I-person, O), parts of speech. Right of the arrow, beside a
text.

The head is a conditional random field (Lafferty et al. 2001) on a net's tokens, as in Lample et al. 2016:
what follows what is learned, and of names only what is well-formed is ever answered: no I-person but behind a
B-person or I-person. Letters: B batch, T words, K tags, D width.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.batch import Batch, Draw, Padded, Ragged
from mapsto.cells import Annotated, Column, is_missing, shorten
from mapsto.config import setting
from mapsto.errors import CellError, DataError, did_you_mean
from mapsto.metrics import Arrays, Metric, pooled_f1, ratio_of
from mapsto.prediction import Prediction
from mapsto.signature import Signature
from mapsto.types.base import Baseline, DataType, Head, Layout, last_text, learned
from mapsto.types.text.stems import padded
from mapsto.types.text.words import names_of, text_of, words_of

OUTSIDE = "O"
TINY = 1e-12
FORBIDDEN = -1e4
Entity = tuple[int, int, str]  # first word, behind the last, type


@dataclass(frozen=True)
class Tags(DataType):
    """Tags, as many as the text has words. Read value: a tuple of them. Stored: int16 (n,) their numbers;
    none where they are missing."""

    modality: ClassVar[str] = "text"
    head_kinds: ClassVar[tuple[str, ...]] = ("tags",)
    reading: ClassVar[tuple[str, ...]] = ("vocabulary",)
    beside: ClassVar[tuple[str, ...]] = ("words", "entities")

    of: str | None = setting(None, "the input whose words are tagged; default: the last text")
    recall: float | None = setting(
        None,
        "of names: nats that O loses when tags are answered; more finds more, and errs more; default: the"
        " recipe decides",
        above=-1e-9,
    )
    within: str = learned("")  # the input
    vocabulary: tuple[str, ...] = learned(())  # what is outside of names first, where tags name things
    names: bool = learned(False)  # do tags mark what begins (B-) and what goes on (I-)?
    counts: tuple[int, ...] = learned(())  # of training words

    @classmethod
    def sniff(cls, column: Column) -> float:
        """Lists, or strings between blanks, of B-, I- and O alone, .95; other lists of words are no tags
        unless somebody says so."""
        cells = column.known[:200]
        try:
            tags = [tag for cell in cells for tag in _listed(cell)]
        except CellError:
            return 0.0
        return 0.95 if tags and are_names(tags) and any(tag != OUTSIDE for tag in tags) else 0.0

    def annotates(self, signature: Signature) -> str:
        return last_text(signature, self.of, "tags")

    def read(self, cell: Any) -> tuple[str, ...] | None:
        """Tags as they stand, one for each word of the text where that is at hand."""
        within = cell.source if isinstance(cell, Annotated) else None
        tags = self._read(cell.cell if isinstance(cell, Annotated) else cell)
        if tags is None or not isinstance(cell, Annotated):
            return tags
        words = words_of(text_of(within))
        if len(tags) != len(words):
            raise CellError(
                f"expected a tag for each word: the text has {len(words)} words, {len(tags)} tags came.\nGive"
                " the text as a list of words, or tags for the words as they are split here (mapsto look)."
            )
        return tags

    def _read(self, cell: Any) -> tuple[str, ...] | None:
        if (
            cell is None
            or (isinstance(cell, str) and not cell.strip())
            or (isinstance(cell, float) and is_missing(cell))
        ):
            return None
        tags = _listed(cell)
        unknown = next((tag for tag in tags if self.vocabulary and tag not in self.vocabulary), None)
        if unknown is not None:
            raise CellError(
                f"tag {shorten(unknown)} was not seen in training.\n{did_you_mean(unknown, self.vocabulary)}"
            )
        return tags

    def fit(self, values: Sequence[tuple[str, ...] | None], spec: Mapping[str, Any]) -> Self:
        """The tags: of names what is outside first and a B- and an I- for each type; a room fitted before
        keeps its own in their places."""
        counts = Counter(tag for value in values if value is not None for tag in value)
        found = set(counts) | {
            tag for value in spec.get("distinct", ()) if value is not None for tag in value
        }
        if not found:
            raise DataError(
                f"'{spec.get('name', 'tags')}': no training row has a tag to learn from.\nName another column"
                " right of the arrow."
            )
        names = are_names(found)
        if names:
            kinds = sorted({tag[2:] for tag in found if tag != OUTSIDE})
            found |= {OUTSIDE, *(f"{mark}-{kind}" for kind in kinds for mark in "BI")}
        order = sorted(
            found - set(self.vocabulary), key=lambda tag: (tag != OUTSIDE, tag[2:] if names else "", tag)
        )
        vocabulary = (*self.vocabulary, *order)
        within = spec.get("into") or self.within
        return replace(
            self,
            within=within,
            vocabulary=vocabulary,
            names=names,
            counts=tuple(counts[tag] for tag in vocabulary),
        )

    @property
    def layout(self) -> Layout:
        return Layout("int16", (None,))

    def encode(self, value: tuple[str, ...] | None) -> np.ndarray:
        number = {tag: k for k, tag in enumerate(self.vocabulary)}
        return np.array([number[tag] for tag in value or ()], np.int16)

    def collate(self, arrays: Ragged, draw: Draw | None, geometry: Tensor | None = None) -> Padded:
        """Tag numbers int64 (B, T)."""
        found = padded(arrays.flat.long(), arrays.lengths)
        return (
            found if found.values.shape[1] else replace(found, values=found.values.new_zeros(len(arrays), 1))
        )

    def present(self, arrays: Ragged) -> Tensor:
        return arrays.lengths > 0

    def show(self, value: tuple[str, ...] | None) -> str:
        return "—" if value is None else " ".join(value[:60]) + (" …" if len(value) > 60 else "")

    def about(self, names: bool = True) -> str:
        kinds = (
            [tag[2:] for tag in self.vocabulary if tag.startswith("B-")]
            if self.names
            else list(self.vocabulary)
        )
        listed = ", ".join(kinds[:8]) + (", …" if len(kinds) > 8 else "")
        return f"{len(kinds)} {'kinds of names' if self.names else 'tags'}{f': {listed}' if names else ''}"

    @property
    def classes(self) -> tuple[str, ...]:
        return ()

    def located(self, prediction: Prediction, cell: Any) -> Prediction:
        """With the words that were tagged, and the names found among them."""
        text = text_of(cell)
        words = words_of(text)
        tags = [*prediction.value, *[self.vocabulary[0]] * (len(words) - len(prediction.value))][: len(words)]
        detail = {**prediction.detail, "words": words}
        if self.names:
            detail["entities"] = [
                {"type": kind, "text": " ".join(words[a:b]), "first": a, "last": b - 1}
                for a, b, kind in entities(tags)
            ]
        return replace(prediction, value=tags, detail=detail)

    def baseline(
        self, name: str, column_types: Mapping[tuple[str, str], DataType], batches: Iterator[Batch]
    ) -> Baseline:
        """What is known by heart: the names of the training rows, the longest first, and each word's most
        frequent tag."""
        usual: dict[int, Counter[int]] = {}
        known: dict[tuple[int, ...], Counter[str]] = {}
        for batch in batches:
            for words, tags in zip(
                names_of(batch.inputs[self.within]), _plain(batch.targets[name]), strict=True
            ):
                for word, tag in zip(words, tags, strict=False):
                    usual.setdefault(word, Counter())[tag] += 1
                for first, behind, kind in (
                    entities([self.vocabulary[tag] for tag in tags]) if self.names else ()
                ):
                    known.setdefault(tuple(words[first:behind]), Counter())[kind] += 1
        best = {word: max(counts, key=lambda tag: (counts[tag], -tag)) for word, counts in usual.items()}
        other = int(np.argmax(self.counts))

        def answer(batch: Batch) -> dict[str, dict[str, np.ndarray]]:
            texts = names_of(batch.inputs[self.within])
            found = {
                "frequent": {"value": _rows([[best.get(word, other) for word in words] for words in texts])}
            }
            return (
                {"dictionary": {"value": _rows([self._looked_up(words, known) for words in texts])}, **found}
                if self.names
                else found
            )

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
                begin, inside = (self.vocabulary.index(f"{mark}-{kind}") for mark in "BI")
                tags[at : at + length] = [begin] + [inside] * (length - 1)
            at += length or 1
        return tags

    def head(self, width: int, kind: str) -> Head:
        return Field(self, width)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return figures(self.vocabulary, self.names)


def _listed(cell: Any) -> tuple[str, ...]:
    """The tags of a cell: a list, JSON's list, or a text with blanks between them."""
    if isinstance(cell, np.ndarray):
        cell = cell.tolist()
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        with suppress(ValueError):
            cell = json.loads(cell)
    tags = cell.split() if isinstance(cell, str) else cell
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) and tag.strip() for tag in tags):
        raise CellError(
            f"expected a list of tags, or a text with blanks between them, got {shorten(cell)}.\nGive one tag"
            " for each word."
        )
    return tuple(tag.strip() for tag in tags)


def are_names(tags: Any) -> bool:
    """Do they mark what begins and goes on, and what is outside?"""
    return all(tag == OUTSIDE or (tag[:2] in ("B-", "I-") and len(tag) > 2) for tag in tags)


def _plain(field: Any) -> list[list[int]]:
    """Padded (B, T) -> its rows as lists."""
    return [row[:length] for row, length in zip(field.values.tolist(), field.lengths.tolist(), strict=True)]


def _rows(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """(n,) objects, each an array."""
    found = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        found[i] = np.array(row, np.int64)
    return found


def entities(tags: Sequence[str]) -> list[Entity]:
    """The names that tags mark. An I- that goes on from nothing of its type begins a name, as seqeval and the
    CoNLL script read it."""
    found: list[Entity] = []
    begin, kind = 0, ""
    for i, tag in enumerate([*tags, OUTSIDE]):
        mark, _, of = tag.partition("-")
        if kind and (mark != "I" or of != kind):
            found.append((begin, i, kind))
            kind = ""
        if mark == "B" or (mark == "I" and not kind):
            begin, kind = i, of
    return found


def labelled(
    words: Sequence[str], tags: Sequence[str], true: Sequence[str] | None = None
) -> tuple[tuple[str, str, bool], ...]:
    """A sentence in parts (text, label, wrong?): names whole with their type, other tags word by word. true:
    what they are held against."""
    if are_names(tags) and are_names(true or ()):
        found, others = entities(tags), None if true is None else {*entities(true)}
    else:
        found = [(i, i + 1, tag) for i, tag in enumerate(tags[: len(words)])]
        others = None if true is None else {(i, i + 1, tag) for i, tag in enumerate(true)}
    parts: list[tuple[str, str, bool]] = []
    at = 0
    for first, behind, kind in found:
        parts += [(f"{' '.join(words[at:first])} ", "", False)] if first > at else []
        parts += [
            (" ".join(words[first:behind]), kind, others is not None and (first, behind, kind) not in others),
            (" ", "", False),
        ]
        at = behind
    return tuple([*parts, (" ".join(words[at:]), "", False)] if at < len(words) else parts[:-1])


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


class Field(Head):
    """A linear-chain conditional random field: tokens (B, T, D) -> scores (B, T, K) of each word's tags, and
    of each pair of neighbours. What learns sees every sequence of tags; what answers only those that are
    well-formed."""

    expects = "tokens"
    illegal: Tensor
    first_illegal: Tensor

    def __init__(self, column_type: Tags, width: int):
        super().__init__()
        self.tags, self.recall = (
            column_type.vocabulary,
            column_type.recall or 0.0 if column_type.names else 0.0,
        )
        self.linear = nn.Linear(width, len(self.tags))
        self.follows = nn.Parameter(torch.zeros(len(self.tags), len(self.tags)))  # from, to
        self.first = nn.Parameter(torch.zeros(len(self.tags)))
        goes_on = [tag[2:] if column_type.names and tag.startswith("I-") else None for tag in self.tags]
        of = [tag[2:] if column_type.names and tag != OUTSIDE else None for tag in self.tags]
        wrong = torch.tensor([[kind is not None and kind != before for kind in goes_on] for before in of])
        self.register_buffer("illegal", FORBIDDEN * wrong.float(), persistent=False)
        self.register_buffer(
            "first_illegal",
            FORBIDDEN * torch.tensor([kind is not None for kind in goes_on]).float(),
            persistent=False,
        )
        with torch.no_grad():  # start at the tags' frequencies
            prior = torch.log(torch.tensor(column_type.counts, dtype=torch.float32) + 1)
            self.linear.bias.copy_(prior - prior.mean())

    def forward(self, hidden: Padded | Tensor) -> Padded | Tensor:
        return (
            Padded(self.linear(hidden.values), hidden.lengths)
            if isinstance(hidden, Padded)
            else self.linear(hidden)
        )

    def loss(self, output: Any, target: Any, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Nats of each row's whole sequence of tags, and its words."""
        output, target = _whole(output), _whole(target)
        length = min(output.values.shape[1], target.values.shape[1])
        scores, tags = output.values[:, :length].float(), target.values[:, :length]
        lengths = torch.minimum(output.lengths, target.lengths).clamp(max=length)
        lengths = lengths if present is None else lengths * present.to(lengths.dtype)
        mask = torch.arange(length, device=scores.device) < lengths[:, None]
        of_tags = (scores.gather(2, tags[..., None])[..., 0] * mask).sum(1) + self.first[tags[:, 0]] * mask[
            :, 0
        ]
        of_tags = of_tags + (self.follows[tags[:, :-1], tags[:, 1:]] * mask[:, 1:]).sum(1)
        whole = _forward(scores, self.first, self.follows, mask)[:, -1].logsumexp(-1)
        return torch.where(lengths > 0, whole - of_tags, 0.0), lengths.float()

    def predict(self, output: Any, options: Any = None) -> dict[str, Any]:
        """The likeliest well-formed tags (B, T), and how likely each tag of each word is (B, T, K)."""
        plain, output = isinstance(output, Tensor), _whole(output)
        scores, mask = output.values.float(), output.mask
        ahead = _forward(scores, self.first, self.follows, mask)
        lengths = output.lengths
        turned = torch.where(
            mask, lengths[:, None] - 1 - torch.arange(mask.shape[1], device=mask.device), 0
        )  # (B, T): the words from the last on
        back = _forward(
            scores.gather(1, turned[..., None].expand_as(scores)),
            torch.zeros_like(self.first),
            self.follows.T,
            mask,
        )
        both = ahead + back.gather(1, turned[..., None].expand_as(back)) - scores
        if (
            self.recall
        ):  # what is best for the whole of a name's words is timid: few training names are like those to come
            scores = torch.cat([scores[..., :1] - self.recall, scores[..., 1:]], -1)
        best = _viterbi(scores, self.first + self.first_illegal, self.follows + self.illegal, mask)
        found = {"value": best, "probability": both.softmax(-1)}
        return found if plain else {name: Padded(value, lengths) for name, value in found.items()}

    def decode(self, predicted: Mapping[str, np.ndarray]) -> list[Prediction]:
        """A list of tags for each row, and how sure each is, where that is known."""
        found = [Prediction([self.tags[tag] for tag in tags.tolist()]) for tags in predicted["value"]]
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


def _whole(values: Any) -> Padded:
    """As Padded: plain tensors are of full length."""
    return (
        values
        if isinstance(values, Padded)
        else Padded(values, torch.full((len(values),), values.shape[1], device=values.device))
    )


def _forward(scores: Tensor, first: Tensor, follows: Tensor, mask: Tensor) -> Tensor:
    """(B, T, K): the logarithm of the sum over all beginnings that end in each tag; behind the end of a row
    its last word's."""
    sums = [scores[:, 0] + first]
    for t in range(1, scores.shape[1]):
        step = (sums[-1][:, :, None] + follows).logsumexp(1) + scores[:, t]
        sums.append(torch.where(mask[:, t, None], step, sums[-1]))
    return torch.stack(sums, 1)


def _viterbi(scores: Tensor, first: Tensor, follows: Tensor, mask: Tensor) -> Tensor:
    """(B, T) the best sequence of tags (Viterbi 1967); 0 behind the end of a row."""
    best, came = scores[:, 0] + first, []
    for t in range(1, scores.shape[1]):
        value, before = (best[:, :, None] + follows).max(1)
        stay = torch.arange(scores.shape[2], device=scores.device).expand_as(before)
        came.append(torch.where(mask[:, t, None], before, stay))
        best = torch.where(mask[:, t, None], value + scores[:, t], best)
    tags = [best.argmax(1)]
    for before in reversed(came):
        tags.append(before.gather(1, tags[-1][:, None])[:, 0])
    return torch.stack(tags[::-1], 1) * mask
