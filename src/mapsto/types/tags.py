"""A tag for each word of a text: names (B-person, I-person, O), parts of speech. Right of the arrow, beside a
text.

Letters: B batch, T words.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mapsto.cells import Annotated, Column, is_missing, shorten
from mapsto.config import setting
from mapsto.errors import CellError, DataError, did_you_mean
from mapsto.signature import Signature
from mapsto.types._name_marks import OUTSIDE, are_names, as_bio, scheme_of
from mapsto.types.base import DataType, Layout, last_text, learned
from mapsto.types.text.cells import text_of

if TYPE_CHECKING:
    from torch import Tensor

    from mapsto.batch import Draw, Padded, Ragged
    from mapsto.prediction import Prediction

Entity = tuple[int, int, str]  # first word, behind the last, type


@dataclass(frozen=True)
class Tags(DataType):
    """Tags, as many as the text has words. Read value: a tuple of them. Stored: int16 (n,) their numbers;
    none where they are missing."""

    modality: ClassVar[str] = "text"
    outputs: ClassVar[tuple[str, ...]] = ("tags",)
    reading: ClassVar[tuple[str, ...]] = ("vocabulary", "scheme")
    marks_text: ClassVar[bool] = True

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
    scheme: str = learned("")  # of names: how they were marked, where not as BIO, which they are here
    counts: tuple[int, ...] = learned(())  # of training words

    @classmethod
    def sniff(cls, column: Column) -> float:
        """Lists, or strings between blanks, of tags that mark names alone (B-, I- and O, or another scheme),
        .95; other lists of words are no tags unless somebody says so."""
        cells = column.known[:200]
        try:
            rows = [_listed(cell) for cell in cells]
        except CellError:
            return 0.0
        tags = {tag for row in rows for tag in row}
        return 0.95 if tags - {OUTSIDE} and (are_names(tags) or scheme_of(rows)) else 0.0

    @classmethod
    def is_cell(cls, value: Any, signature: Signature) -> bool:
        """Words that get a tag each."""
        return all(isinstance(word, str) and not any(map(str.isspace, word)) for word in value)

    def annotates(self, signature: Signature) -> str:
        return last_text(signature, self.of, "tags")

    def read(self, cell: Any) -> tuple[str, ...] | None:
        """Tags as they stand, one for each word of the text where that is at hand."""
        within = cell.source if isinstance(cell, Annotated) else None
        tags = self._read(cell.cell if isinstance(cell, Annotated) else cell)
        if tags is None or not isinstance(cell, Annotated):
            return tags
        from mapsto.types.text.words import words_of

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
        if self.names and not (are_names(tags) and self.scheme != "IOB1"):
            tags = as_bio(tags, self.scheme)
        unknown = next((tag for tag in tags if self.vocabulary and tag not in self.vocabulary), None)
        if unknown is not None:
            raise CellError(
                f"tag {shorten(unknown)} was not seen in training.\n{did_you_mean(unknown, self.vocabulary)}"
            )
        return tags

    def fit(self, values: Sequence[tuple[str, ...] | None], spec: Mapping[str, Any]) -> Self:
        """The tags: of names what is outside first and a B- and an I- for each type; a room fitted before
        keeps its own in their places."""
        known = [value for value in values if value is not None]
        every = [*known, *(value for value in spec.get("distinct", ()) if value is not None)]
        scheme = self.scheme if self.vocabulary else scheme_of(every)
        if scheme:
            known, every = ([as_bio(value, scheme) for value in rows] for rows in (known, every))
        counts = Counter(tag for value in known for tag in value)
        found = {tag for value in every for tag in value}
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
            scheme=scheme,
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
        from mapsto.types.text.stems import padded

        found = padded(arrays.flat.long(), arrays.lengths)
        return (
            found if found.values.shape[1] else replace(found, values=found.values.new_zeros(len(arrays), 1))
        )

    def present(self, arrays: Ragged) -> Tensor:
        return arrays.lengths > 0

    def show(self, value: tuple[str, ...] | None) -> str:
        return "—" if value is None else " ".join(value[:60]) + (" …" if len(value) > 60 else "")

    def said(self, name: str) -> str:
        return f"'{name}' marks names as {self.scheme}, read and answered as BIO" if self.scheme else ""

    def about(self, names: bool = True) -> str:
        kinds = (
            [tag[2:] for tag in self.vocabulary if tag.startswith("B-")]
            if self.names
            else list(self.vocabulary)
        )
        listed = ", ".join(kinds[:8]) + (", …" if len(kinds) > 8 else "")
        return f"{len(kinds)} {'kinds of names' if self.names else 'tags'}{f': {listed}' if names else ''}"

    def in_parts(
        self, text: Any, value: Sequence[str], true: Sequence[str] | None = None
    ) -> tuple[tuple[str, str, bool], ...]:
        from mapsto.types.text.words import words_of

        return labelled(words_of(text), value, true)

    def located(self, prediction: Prediction, cell: Any) -> Prediction:
        """With the words that were tagged, and the names found among them."""
        from mapsto.types.text.words import words_of

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
