"""One of several classes: text, whole numbers or truth values; a vocabulary found in the training rows."""

from __future__ import annotations

import statistics
import sys
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mapsto.cells import Blob, Column, is_missing, shorten, sound
from mapsto.config import setting
from mapsto.errors import CellError, ConfigError, DataError, did_you_mean
from mapsto.types._kinds import FIRST, MISSING, OTHER, WHOLE, kind_of, same_name, typed
from mapsto.types.base import MISSING_CELLS, SHARES, DataType, Layout, learned
from mapsto.types.number._around import SURE, numbers_among
from mapsto.types.number._written import are_codes
from mapsto.types.number.numerals import Moment, values_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mapsto.batch import Draw

ONE_HOT = 100  # plain features keep the most frequent classes
SLICES = 12  # most frequent values that are looked at one by one
ABOUT = 5  # most frequent classes named
# of whole numbers that are classes: how many at most, rows of each on average, and how far apart
CLASSES, REPEAT, RANGE = 20, 3, 100
WORDS = frozenset({"none", "na", "n/a", "null", "nil", "missing", "-"})  # for nothing; classes, too
LONG, SOME = 16, 100  # characters beyond which a cell is none of these; classes of which none is a number
USUAL = 0.1  # of the classes' median: as often such a word stands that is one
LABEL_NAMES = frozenset(
    {"label", "labels", "class", "classes", "target", "category", "species", "digit", "outcome", "y"}
)


@dataclass(frozen=True)
class Category(DataType):
    """One class of several. Read value: text. Stored as int32: a target's class number (-1 missing); an
    input's code."""

    outputs: ClassVar[tuple[str, ...]] = ("classes",)
    takes_any: ClassVar[bool] = True
    reading: ClassVar[tuple[str, ...]] = ("vocabulary", "side", "fold", "whole", "truths", "words")

    smoothing: float = setting(
        0.0, "label smoothing: this share of a label is spread over all classes (Szegedy 2016)", above=-1e-9
    )
    balance: bool = setting(False, "weight each class by its inverse frequency")
    min_count: int | None = setting(
        None,
        "an input's classes seen less often are 'other'; default 1 up to 50 rows, 2 up to 1,000, else 5",
        above=0,
    )
    fold: bool = setting(False, "classes that differ only in case or blanks are one")
    gaps: bool = setting(False, "NA, none, null, missing and - are never a class")
    side: str = learned("input")
    whole: bool = learned(False)  # are all classes whole numbers, so that 1.0 is 1?
    truths: bool = learned(False)  # are they truth values, so that 'True' is true?
    kind: str = learned("")  # of the column's cells, and so of answers (`kind_of`); "": text
    words: tuple[str, ...] = learned(())  # of WORDS that are classes here
    vocabulary: tuple[str, ...] = learned(())  # the classes
    counts: tuple[int, ...] = learned(())  # in the sample seen by fit
    frequent: tuple[int, ...] = learned(())  # codes with a column of their own in plain features

    @classmethod
    def sniff(cls, column: Column) -> float:
        """Text that repeats .8; two whole numbers, or few under a name like 'label', .7; other few whole
        numbers .45, below number's .5: 1, 2, 3 has an order, which number keeps, and its bins can tell the
        values apart as well as an embedding. As a target such numbers are classes, .6: of three rows each on
        average, and no further apart than RANGE, as counts may be.
        """
        cells = column.known
        if not cells:
            return 0.1
        if not all(isinstance(cell, (str, bool, int, float, np.generic)) for cell in cells):
            return 0.0
        distinct = {str(cell).strip() for cell in cells}
        few = len(distinct) <= 20 or len(distinct) <= 0.5 * len(cells)
        if all(isinstance(cell, (bool, np.bool_)) for cell in cells):
            return 0.95
        values = numbers_among(cells)
        if sum(value is not None for value in values) < SURE * len(values):
            return 0.8 if few else 0.3
        if are_codes(column):  # such as '007' or '01234'
            return 0.6 if few else 0.3
        numbers = {value for value in values if value is not None}
        if len(numbers) > max(CLASSES, 0.05 * len(cells)) or any(
            isinstance(value, Moment) or value % 1 for value in numbers
        ):
            return 0.05
        two = numbers <= {0, 1} or (len(numbers) == 2 and len(cells) >= 10)
        named = column.name.strip().lower() in LABEL_NAMES
        if two or named:
            return 0.7
        few = len(numbers) <= CLASSES
        learned = few and column.side == "output" and len(cells) >= REPEAT * len(numbers)
        return 0.6 if learned and max(numbers) - min(numbers) <= RANGE else 0.45 if few else 0.05

    @classmethod
    def of_space(cls, space: Any, side: str) -> Self | None:
        """One of n, as gymnasium's Discrete: from `start` on."""
        count, first = getattr(space, "n", None), int(getattr(space, "start", 0))
        if not isinstance(count, (int, np.integer)):
            return None
        names = tuple(str(first + i) for i in range(int(count)))
        codes = range(FIRST, FIRST + min(len(names), ONE_HOT))
        return cls(side=side, vocabulary=names, counts=(1,) * len(names), frequent=tuple(codes), kind="int")

    def as_written(self, column: Column, side: str) -> Self:
        """Are the classes whole numbers, or truth values? And which words for nothing are classes: of a
        target of words those that repeat as its other classes do."""
        if self.vocabulary:
            return self
        known = column.known
        kinds = {type(cell) for cell in known}
        texts = {cell.strip() for cell in known if isinstance(cell, str)}
        whole = bool(known) and all(map(WHOLE.fullmatch, texts)) and kinds <= {str, int, float, np.int64}
        truths = bool in kinds and kinds <= {bool, str} and {t.lower() for t in texts} <= {"true", "false"}
        words = () if self.gaps or side != "output" or whole else _class_words(column)
        return replace(self, whole=whole, truths=truths, words=words, kind=kind_of(known, column.untyped))

    def read(self, cell: Any) -> str | None:
        """Text, stripped, its case kept; 3 and 3.0 are '3', True is 'true'."""
        if isinstance(cell, str):
            return self._named(cell.strip())
        if isinstance(cell, np.generic) or (isinstance(cell, np.ndarray) and cell.size == 1):
            cell = cell.item()
        if is_missing(cell):
            return None
        if isinstance(cell, bool):
            return "true" if cell else "false"
        if isinstance(cell, float) and cell.is_integer():
            return str(int(cell))
        if isinstance(cell, (bytes, bytearray)):
            try:
                return bytes(cell).decode().strip()
            except UnicodeDecodeError as problem:
                raise CellError(
                    f"expected a class name, got {shorten(cell)} that are no text.\nGive text or a number."
                ) from problem
        if isinstance(cell, (list, tuple, set, Mapping, np.ndarray, Blob)):
            raise CellError(
                f"expected one class, got {type(cell).__name__} {shorten(cell)}.\nSeveral labels at once are"
                " of type 'categories'."
            )
        return str(cell).strip()

    def _named(self, text: str) -> str | None:
        """The class that a text names; None where it says nothing."""
        if is_missing(text) and text.lower() not in self.words:
            return None
        text = sound(text)
        if not text.isascii() and text not in self.vocabulary:  # classes of runs before stay as they were
            text = unicodedata.normalize("NFC", text)
        if self.whole and (found := WHOLE.fullmatch(text)):
            return found[1]
        if self.truths:
            return text.lower()
        return " ".join(text.split()).casefold() if self.fold else text

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        found = super().from_json(record)
        if len(found.counts) != len(found.vocabulary):
            raise ConfigError(f"{len(found.vocabulary)} classes, {len(found.counts)} counts of them")
        return found

    def fit(self, values: Sequence[str | None], spec: Mapping[str, Any]) -> Self:
        """The vocabulary, in order of number or alphabet; a target's holds every value of spec["distinct"]
        too, however rare. A room fitted before keeps its classes in their places and appends new ones."""
        seen = Counter(value for value in values if value is not None)
        side = spec.get("side", "input")
        rare = [value for value in spec.get("distinct", ()) if value is not None] if side == "output" else []
        if side == "output" and not (seen or rare or self.vocabulary):
            raise DataError(
                f"'{spec.get('name', 'target')}': no training row has a class to learn from.\nName another"
                " column right of the arrow."
            )
        least = (
            1
            if side == "output"
            else self.min_count or (1 if len(values) <= 50 else 2 if len(values) <= 1000 else 5)
        )
        old = dict(zip(self.vocabulary, self.counts, strict=True))
        new = {name for name, count in seen.items() if count >= least} | set(rare)
        classes = (*self.vocabulary, *sorted(new - set(old), key=_order))
        counts = tuple(old.get(name, 0) + seen.get(name, 0) for name in classes)
        common = sorted(sorted(range(len(classes)), key=lambda k: -counts[k])[:ONE_HOT])
        frequent = self.frequent or tuple(FIRST + k for k in common)
        return replace(self, side=side, vocabulary=classes, counts=counts, frequent=frequent)

    @property
    def layout(self) -> Layout:
        return Layout("int32")

    def encode(self, value: str | None) -> np.ndarray:
        return np.array(self._code(value, {name: k for k, name in enumerate(self.vocabulary)}), np.int32)

    def _code(self, value: str | None, table: Mapping[str, int]) -> int:
        name = None if value is None else same_name(value, table)
        if self.side == "input":
            return MISSING if name is None else table[name] + FIRST if name in table else OTHER
        if name is None:
            return -1
        if name not in table:
            raise CellError(
                f"class {shorten(value)} was not seen in training.\n{did_you_mean(name, self.vocabulary)}"
            )
        return table[name]

    def encode_column(self, cells: Sequence[Any]) -> tuple[Any, dict[int, str]]:
        """Each distinct cell is read once."""
        table = {name: k for k, name in enumerate(self.vocabulary)}
        known: dict[Any, int] = {}  # (type, cell): True, 1 and 1.0 are equal but read differently
        problems: dict[int, str] = {}
        codes = np.empty(len(cells), np.int32)
        absent = self._code(None, table)
        if isinstance(cells, np.ndarray):
            cells = cells.reshape(len(cells)).tolist() if cells.size == len(cells) else list(cells)
        for position, cell in enumerate(cells):
            kind = (
                cell
                if type(cell) is str
                else (type(cell), cell)
                if isinstance(cell, (bool, int, float))
                else None
            )
            code = known.get(kind) if kind is not None else None
            if code is None:
                try:
                    code = self._code(self.read(cell), table)
                except CellError as problem:
                    problems[position], codes[position] = str(problem), absent
                    continue
                if kind is not None:
                    known[kind] = code
            codes[position] = code
        return codes, problems

    def collate(self, arrays: Tensor, draw: Draw | None, geometry: Tensor | None = None) -> Tensor:
        """(B,) int64."""
        return arrays.long()

    def present(self, arrays: Tensor) -> Tensor:
        return arrays >= 0

    def unknown(self, arrays: np.ndarray) -> np.ndarray:
        return np.asarray(arrays) == OTHER

    def about(self, names: bool = True) -> str:
        """How many classes, and the most frequent of them with their shares."""
        count, total = len(self.vocabulary), sum(self.counts)
        told = f"{count:,} class{'es' * (count != 1)}"
        if not total or not (names or self.side == "output"):
            return told
        common = sorted(zip(self.counts, self.vocabulary, strict=True), key=lambda pair: -pair[0])[:ABOUT]
        return (
            f"{told}: "
            + ", ".join(f"{shorten(name, 24)[1:-1]} ({n / total:.0%})" for n, name in common)
            + (", …" if count > ABOUT else "")
        )

    def said(self, name: str) -> str:
        if not self.words:
            return ""
        words = [one for one in self.vocabulary if one.lower() in self.words]
        verb = "is a class" if len(words) == 1 else "are classes"
        return f"'{name}': {', '.join(words)} {verb}, no gap in the data; else {name}:category(gaps=true)"

    @property
    def classes(self) -> tuple[str, ...]:
        return self.vocabulary

    @property
    def answers(self) -> tuple[Any, ...]:
        return typed(self.vocabulary, self.kind)

    def merged_with(self, other: Self) -> Self:
        more = tuple(name for name in other.vocabulary if name not in self.vocabulary)
        return replace(self, vocabulary=(*self.vocabulary, *more), counts=(*self.counts, *[0] * len(more)))

    def decode_cell(self, array: np.ndarray) -> str | None:
        """An unknown class comes back as a word that is none."""
        k = int(array) - (FIRST if self.side == "input" else 0)
        return self.vocabulary[k] if k >= 0 else None if int(array) in (-1, MISSING) else "(other)"

    def slices(self, values: Sequence[str | None]) -> dict[str, np.ndarray]:
        """The most frequent values, the others together; of names and ids, which hardly repeat, none."""
        cells = np.array(["" if value is None else value for value in values], object)
        counts = Counter(value for value in values if value is not None)
        common = [name for name, count in counts.most_common(SLICES) if count > 1 or len(counts) <= SLICES]
        if not common:
            return {}
        rest = ~np.isin(cells, [*common, ""])
        return {name: cells == name for name in common} | ({"other values": rest} if rest.any() else {})

    @property
    def corruptions(self) -> Mapping[str, tuple[float, ...]]:
        return {MISSING_CELLS: SHARES}

    def corrupt(self, name: str, level: float, value: str | None, draw: np.random.Generator) -> str | None:
        return None if draw.random() < level else value

    def web_options(self) -> dict[str, Any]:
        """Of signs whose folded case is not the lower one."""
        signs = map(chr, range(sys.maxunicode + 1)) if self.fold else ()
        return {"folds": {one: one.casefold() for one in signs if one.casefold() != one.lower()}}

    def as_columns(self, arrays: Tensor) -> dict[str, np.ndarray]:
        codes = arrays.numpy().astype(np.int64)
        return {
            "": (
                codes
                if self.side == "output"
                else np.where(codes >= FIRST, codes - FIRST, np.where(codes == OTHER, -2, -1))
            )
        }

    def stem(self, width: int | None) -> nn.Module:
        from mapsto.types._category_stems import OneCategory, OneHot

        return OneHot(self) if width is None else OneCategory(self, width)

    @classmethod
    def stems(cls, column_types: Mapping[str, Self], width: int | None) -> nn.Module:
        from mapsto.types._category_stems import Embeddings

        return super().stems(column_types, width) if width is None else Embeddings(column_types, width)


def _class_words(column: Column) -> tuple[str, ...]:
    """Words for nothing that stand in a target of words as often as its classes do."""
    texts = (cell.strip().lower() for cell in column.cells if isinstance(cell, str) and len(cell) < LONG)
    counts = Counter(text for text in texts if text in WORDS)
    if not counts:
        return ()
    others = Counter(cell.strip() for cell in column.known if isinstance(cell, str))
    if not others or any(value is not None for value in values_of([*others][:SOME])):
        return ()
    least = max(3, USUAL * statistics.median(others.values()))
    return tuple(sorted(word for word, count in counts.items() if count >= least))


def _order(name: str) -> tuple[int, float, str]:
    try:
        return (0, float(name), name)
    except ValueError:
        return (1, 0.0, name)
