"""Any number of labels at once (multi-label): lists, 'a; b; c', {label: 0 | 1 | None} or rows of 0 and 1;
unknown labels are masked."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mapsto.cells import Column, is_missing, shorten
from mapsto.config import setting
from mapsto.errors import CellError, DataError, did_you_mean
from mapsto.lazy import is_tensor
from mapsto.types._kinds import kind_of, typed
from mapsto.types._lists import MARKS, inside, is_list, items_of, mark_of
from mapsto.types.base import MISSING_CELLS, SHARES, DataType, Layout, learned
from mapsto.types.number._written import are_codes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mapsto.batch import Draw

SLICES = 12  # most frequent labels that are looked at one by one
Labels = str | tuple[str, ...] | dict[str, bool | None]


@dataclass(frozen=True)
class Categories(DataType):
    """Labels that do not exclude each other. Read value: a tuple of the labels that hold, a dict that also
    knows which do not, or text until `fit` has found what separates labels. Stored: int8 (K,), 1 holds, 0
    does not, -1 not known. A missing or empty cell says nothing: write [] for "none of them"."""

    outputs: ClassVar[tuple[str, ...]] = ("labels",)
    reading: ClassVar[tuple[str, ...]] = ("vocabulary", "side", "mark", "closed", "brackets", "kind")

    separator: str | None = setting(
        None, "what stands between labels in text; default: that of ; | , which leaves the fewest labels"
    )
    side: str = learned("input")
    vocabulary: tuple[str, ...] = learned(())  # the labels
    mark: str = learned("")  # the separator found
    brackets: bool = learned(False)  # do texts stand in brackets, as programs print lists?
    kind: str = learned("")  # of labels in lists, and so of answers (`kind_of`); "": text
    closed: bool = learned(True)  # does leaving a label out of a {label: value} cell mean no?

    @classmethod
    def sniff(cls, column: Column) -> float:
        """.9 for lists, {label: 0 | 1} and rows of 0 and 1; .85 for text whose pieces between ; or | or ,
        recur."""
        cells = column.known
        if not cells:
            return 0.0
        if all(isinstance(cell, Mapping) for cell in cells):
            return 0.9 if _zeros_and_ones([cell.values() for cell in cells]) else 0.0
        if all(isinstance(cell, (list, tuple, set, frozenset)) for cell in cells):
            return (
                0.9
                if all(isinstance(item, str) for cell in cells for item in cell) or _zeros_and_ones(cells)
                else 0.0
            )
        if all(isinstance(cell, np.ndarray) and cell.ndim == 1 and len(cell) > 1 for cell in cells):
            return 0.9 if len({len(cell) for cell in cells}) == 1 and _zeros_and_ones(cells) else 0.0
        if not all(isinstance(cell, str) for cell in cells):
            return 0.0
        if all(items_of(cell) is not None for cell in cells):
            return 0.9
        brackets = all(map(is_list, cells))
        cells = [inside(cell) for cell in cells] if brackets else cells
        mark = mark_of(cells, brackets)
        pieces = [piece.strip() for cell in cells for piece in cell.split(mark)] if mark else []
        several = sum(mark in cell for cell in cells) >= 0.2 * len(cells) if mark else False
        digits = brackets or mark in MARKS[:2] or are_codes(column)  # 1,234 and 1,5 are numbers
        words = all(len(piece) <= 30 and (digits or not piece.replace(".", "").isdigit()) for piece in pieces)
        recur = len(set(pieces)) <= (0.2 if mark == "," else 0.5) * len(pieces) and len(set(pieces)) <= len(
            set(cells)
        )
        return 0.85 if several and words and recur else 0.0

    def as_written(self, column: Column, side: str) -> Self:
        """Do the column's texts stand in brackets? And are its labels numbers?"""
        if self.vocabulary:
            return self
        texts = [cell for cell in column.known if isinstance(cell, str)]
        brackets = bool(texts) and all(map(is_list, texts))
        return replace(self, brackets=brackets, kind=_kind(column.known))

    def read(self, cell: Any) -> Labels | None:
        """Sets and lists become tuples; arrays and lists of 0 and 1 become {'0': bool, '1': bool, …}."""
        if cell is None:
            return None
        if isinstance(cell, Mapping):
            return {label(str(name)): _truth(value) for name, value in cell.items()}
        if isinstance(cell, (set, frozenset)):
            cell = sorted(map(str, cell))
        if isinstance(cell, np.ndarray) or is_tensor(cell):
            cell = np.asarray(cell).reshape(-1).tolist()
        if isinstance(cell, (list, tuple)):
            return self._listed(list(cell))
        if is_missing(cell):
            return None
        text = str(cell)
        listed = items_of(text)
        if listed is not None:
            return self._listed(listed)
        text = inside(text) if self.brackets and is_list(text) else text.strip()
        return self._parted(text) if self.vocabulary or not text else text

    def _listed(self, items: list[Any]) -> Labels:
        if (
            items
            and not self.kind
            and all(_zero_or_one(item) for item in items)
            and not all(isinstance(item, str) for item in items)
        ):
            if self.vocabulary and len(items) != len(self.vocabulary):
                raise CellError(
                    f"expected {len(self.vocabulary)} labels of 0 or 1, got {len(items)}.\nEvery row must"
                    " name the same labels."
                )
            names = self.vocabulary or [str(k) for k in range(len(items))]
            return {name: _truth(item) for name, item in zip(names, items, strict=True)}
        return tuple(dict.fromkeys(label(str(item)) for item in items if not is_missing(item)))

    def _parted(self, text: str) -> tuple[str, ...]:
        pieces = text.split(self.mark) if self.mark else [text]
        return tuple(dict.fromkeys(label(piece) for piece in pieces if piece.strip()))

    def fit(self, values: Sequence[Labels | None], spec: Mapping[str, Any]) -> Self:
        """The labels, in order of number or alphabet; a target's include those of spec["distinct"]. A room
        fitted before keeps its labels in their places and appends new ones."""
        values = [value for value in (*values, *spec.get("distinct", ())) if value is not None]
        mark = (
            self.mark
            if self.vocabulary
            else self.separator or mark_of([v for v in values if isinstance(v, str)], self.brackets)
        )
        column_type = replace(self, side=spec.get("side", "input"), mark=mark)
        parted = [column_type._parted(value) if isinstance(value, str) else value for value in values]
        new = {name for value in parted for name in value} - set(self.vocabulary)
        labels = (
            *self.vocabulary,
            *sorted(new, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)),
        )
        known = [truth for value in parted if isinstance(value, dict) for truth in value.values()]
        column_type = replace(
            column_type, vocabulary=labels, closed=self.closed if self.vocabulary else False not in known
        )
        if column_type.side == "output" and not column_type.vocabulary:
            raise DataError(
                f"'{spec.get('name', 'target')}': no training row has a label to learn from.\nName another"
                " column right of the arrow."
            )
        return column_type

    @property
    def layout(self) -> Layout:
        return Layout("int8", (len(self.vocabulary),))

    def encode(self, value: Labels | None) -> np.ndarray:
        return self._row(value, {name: k for k, name in enumerate(self.vocabulary)})

    def _row(self, value: Labels | None, table: Mapping[str, int]) -> np.ndarray:
        if value is None:
            return np.full(len(table), -1, np.int8)
        value = self._parted(value) if isinstance(value, str) else value
        full = isinstance(value, tuple) or self.closed
        row = np.full(len(table), 0 if full else -1, np.int8)
        for name in value:
            if name in table:
                truth = value[name] if isinstance(value, dict) else True
                row[table[name]] = -1 if truth is None else int(truth)
            elif self.side == "output":
                raise CellError(
                    f"label {shorten(name)} was not seen in training.\n{did_you_mean(name, self.vocabulary)}"
                )
        return row

    def encode_column(self, cells: Sequence[Any]) -> tuple[Any, dict[int, str]]:
        """The names are looked up in one table; equal texts are read once."""
        if (
            isinstance(cells, np.ndarray)
            and cells.dtype.kind in "biu"
            and cells.shape[1:] == (len(self.vocabulary),)
            and not (cells.astype(int) >> 1).any()
        ):
            return cells.astype(np.int8), {}
        table = {name: k for k, name in enumerate(self.vocabulary)}
        rows, problems = np.full((len(cells), len(table)), -1, np.int8), {}
        known: dict[str, np.ndarray] = {}
        for position, cell in enumerate(cells):
            text = type(cell) is str
            if text and cell in known:
                rows[position] = known[cell]
                continue
            try:
                rows[position] = self._row(self.read(cell), table)
            except CellError as problem:
                problems[position] = str(problem)
            else:
                if text:
                    known[cell] = rows[position]
        return rows, problems

    def collate(self, arrays: Tensor, draw: Draw | None, geometry: Tensor | None = None) -> Tensor:
        """(B, K) float32 of 1, 0 and, not known, -1."""
        return arrays.float()

    def present(self, arrays: Tensor) -> Tensor:
        return arrays >= 0

    def show(self, value: Labels | None) -> str:
        if value is None or isinstance(value, str):
            return value or "—"
        held = [name for name in value if not isinstance(value, dict) or value[name]]
        return ", ".join(held) or "none"

    def said(self, name: str) -> str:
        between = f"'{self.mark}' between them" if self.mark and not self.separator else ""
        written = " and ".join(filter(None, ["brackets around them"] * self.brackets + [between]))
        return f"'{name}' holds labels, {written}; else {name}:categories(separator=…)" if written else ""

    def about(self, names: bool = True) -> str:
        count = len(self.vocabulary)
        shown = (
            ": " + ", ".join(self.vocabulary[:8]) + (", …" if count > 8 else "")
            if names or self.side == "output"
            else ""
        )
        return f"{count:,} label{'s' * (count != 1)}{shown}"

    @property
    def classes(self) -> tuple[str, ...]:
        return self.vocabulary

    @property
    def answers(self) -> tuple[Any, ...]:
        return typed(self.vocabulary, self.kind)

    def merged_with(self, other: Self) -> Self:
        """The labels that both know: of others one of them says nothing."""
        return replace(self, vocabulary=tuple(name for name in self.vocabulary if name in other.vocabulary))

    def decode_cell(self, array: np.ndarray) -> Labels | None:
        return (
            {
                name: None if k < 0 else bool(k)
                for name, k in zip(self.vocabulary, array.tolist(), strict=True)
            }
            if (array >= 0).any()
            else None
        )

    def slices(self, values: Sequence[Labels | None]) -> dict[str, np.ndarray]:
        """Rows with each of the most frequent labels; a row may be in several."""
        held = [self._held(value) for value in values]
        common = Counter(name for names in held for name in names).most_common(SLICES)
        return {name: np.array([name in names for names in held], bool) for name, _ in common}

    def _held(self, value: Labels | None) -> tuple[str, ...]:
        value = self._parted(value) if isinstance(value, str) else value or ()
        return tuple(name for name in value if not isinstance(value, dict) or value[name])

    @property
    def corruptions(self) -> Mapping[str, tuple[float, ...]]:
        return {MISSING_CELLS: SHARES}

    def corrupt(
        self, name: str, level: float, value: Labels | None, draw: np.random.Generator
    ) -> Labels | None:
        return None if draw.random() < level else value

    def as_columns(self, arrays: Tensor) -> dict[str, np.ndarray]:
        """Each label's column."""
        return {label: arrays[:, k].numpy().astype(np.int64) for k, label in enumerate(self.vocabulary)}

    def stem(self, width: int | None) -> nn.Module:
        from mapsto.types._labels import LabelMean, MultiHot

        count = len(self.vocabulary)
        return MultiHot(count) if width is None else LabelMean(count, width)


def label(text: str) -> str:
    """Without blanks around it, in Unicode's composed form."""
    text = text.strip()
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _kind(cells: Sequence[Any]) -> str:
    """Of labels in lists or before colons: "" where they are text, or rows of 0 and 1."""
    listed: list[Any] = [items_of(cell) if isinstance(cell, str) else cell for cell in cells]
    if not all(isinstance(cell, (list, tuple, set, frozenset, Mapping)) for cell in listed):
        return ""
    rows = [cell for cell in listed if not isinstance(cell, Mapping)]
    if rows and _zeros_and_ones(rows):
        return ""
    items = [item for cell in listed for item in cell if not is_missing(item)]
    return "" if any(isinstance(item, str) for item in items) else kind_of(items)


def _zeros_and_ones(cells: Sequence[Any]) -> bool:
    return all(_zero_or_one(item) for cell in cells for item in cell)


def _zero_or_one(item: Any) -> bool:
    return (
        is_missing(item)
        if not isinstance(item, (bool, int, float, np.generic))
        else bool(is_missing(item) or item in (0, 1))
    )


def _truth(value: Any) -> bool | None:
    if isinstance(value, np.generic):
        value = value.item()
    if is_missing(value):
        return None
    if isinstance(value, str) and value.strip().lower() in (
        "0",
        "1",
        "true",
        "false",
        "0.0",
        "1.0",
        "yes",
        "no",
    ):
        return value.strip().lower() in ("1", "true", "1.0", "yes")
    if isinstance(value, (bool, int, float)) and value in (0, 1):
        return bool(value)
    raise CellError(
        f"expected 0, 1 or nothing for a label, got {shorten(value)}.\nGive each label one of these."
    )
