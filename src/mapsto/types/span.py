"""A stretch of one of the row's texts: the answer to a question, where it stands (extractive question
answering). Right of the arrow.

Letters: B batch, N numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mapsto.cells import Annotated, Column, is_missing, shorten
from mapsto.config import setting
from mapsto.errors import CellError, DataError
from mapsto.lazy import torch
from mapsto.signature import Signature
from mapsto.types.base import DataType, Layout, last_text, learned
from mapsto.types.text.cells import text_of

if TYPE_CHECKING:
    from torch import Tensor

    from mapsto.batch import Draw, Padded, Ragged
    from mapsto.prediction import Prediction

MOST = 60  # words of an answer
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
    outputs: ClassVar[tuple[str, ...]] = ("span",)

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
        from mapsto.types.text.words import words_of

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
        from mapsto.types.text.stems import padded

        found = padded(arrays.flat.long(), arrays.lengths)
        short = max(0, 3 - found.values.shape[1])
        return replace(found, values=torch.nn.functional.pad(found.values, (0, short)))

    def present(self, arrays: Ragged) -> Tensor:
        return arrays.lengths > 0

    def show(self, value: Found | None) -> str:
        if value is None:
            return "—"
        begin, end = value.places[0]
        return f"{value.text[begin:end][:200]} ({begin} to {end})"

    def about(self, names: bool = True) -> str:
        return f"answers of {self.usual} words in the middle, {self.most} at most, in '{self.within}'"

    @classmethod
    def misplaced(cls, cell: Any) -> bool:
        """Does one of a raw cell's answers stand in its text, but not where it is said to begin?"""
        text = text_of(cell.source) or ""
        try:
            return any(
                start is not None and _place(said, start, text)[0] != start
                for said, start in _answers(cell.cell)
            )
        except CellError:
            return False

    def located(self, prediction: Prediction, cell: Any) -> Prediction:
        """The words that stand there."""
        begin, end = prediction.value
        return replace(
            prediction,
            value=(text_of(cell) or "")[begin:end],
            detail={**prediction.detail, "begin": begin, "end": end},
        )


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
