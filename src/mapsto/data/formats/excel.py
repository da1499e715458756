"""Sheets of Excel's .xlsx: 'book.xlsx', 'book.xlsx::Sheet1', 'book.xlsx::Sheet1!A1:C20' or
'book.xlsx::A1:C20'.

The first row names the columns where it is all text. Cells keep their kind: numbers, dates, text; of a
formula, what Excel last computed. Read by openpyxl, which comes with `pip install "mapsto[excel]"`."""

from __future__ import annotations

import itertools
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mapsto.data.files import fingerprint_of
from mapsto.data.formats.dialect import clean_names
from mapsto.data.offer import Offer
from mapsto.errors import ConfigError, DataError, did_you_mean
from mapsto.source import Chunk, Source

DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, KeyError, ValueError, TypeError, AttributeError, IndexError, OSError),
    *(EOFError, NotImplementedError, SyntaxError, RuntimeError),
)  # what zipfile, the XML parser (SyntaxError) and openpyxl raise of books that programs broke
RANGE = re.compile(r"\$?[A-Za-z]{1,3}\$?\d+(:\$?[A-Za-z]{1,3}\$?\d+)?")


def source_of(offer: Offer) -> Source:
    """DataError: no such sheet, several and none is named, or no rows. ConfigError: openpyxl is missing."""
    sheet, _, area = offer.inside.rpartition("!")
    if offer.inside and not sheet:
        sheet, area = ("", area) if RANGE.fullmatch(area) else (area, "")
    with _book(offer.path) as book, _told(offer.path):
        name = _sheet(book, sheet.strip("'"), offer)
        first = list(itertools.islice(_rows(book, name, area), 2))
    if not first:
        raise DataError(
            f"{offer.path.name}: expected rows in sheet '{name}', it is empty ({offer.path})."
            "\nName another sheet."
        )
    header = [cell for cell in first[0][1] if cell is not None]
    named = len(first) > 1 and bool(header) and all(isinstance(cell, str) for cell in header)
    cells = [str(cell) if cell is not None else "" for cell in first[0][1]]
    names, told = clean_names(cells if named else [f"column_{i}" for i in range(1, len(cells) + 1)])
    return ExcelSource(
        name=offer.name,
        columns=names,
        fingerprint=f"{fingerprint_of([offer.entry])}:{name}!{area}",
        said=[f"{offer.path.name}: sheet '{name}'{' ' * bool(area)}{area}", *told],
        path=str(offer.path),
        sheet=name,
        area=area,
        skip=int(named),
    )


@dataclass
class ExcelSource(Source):
    """Rows of one sheet. area: 'A1:C20', or all of it; skip: rows before the first that counts."""

    path: str = ""
    sheet: str = ""
    area: str = ""
    skip: int = 0

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        with _book(Path(self.path)) as book:
            rows = itertools.islice(_rows(book, self.sheet, self.area), self.skip, None)
            while some := self._next(rows, size):
                width = len(self.columns)
                cells = [[*row, *[None] * (width - len(row))][:width] for _, row in some]
                columns = dict(zip(self.columns, map(list, zip(*cells, strict=True)), strict=True))
                yield Chunk(columns, [f"row {number}" for number, _ in some], [None] * len(some))

    def _next(self, rows: Iterator[tuple[int, Sequence[Any]]], size: int) -> list[tuple[int, Sequence[Any]]]:
        with _told(Path(self.path)):
            return list(itertools.islice(rows, size))


@contextmanager
def _book(path: Path) -> Iterator[Any]:
    library = _library()
    with _told(path):
        with zipfile.ZipFile(path) as file:
            if (name := file.testzip()) is not None:
                raise zipfile.BadZipFile(f"{name} is not what was saved")
        book = library.load_workbook(path, read_only=True, data_only=True)
    try:
        yield book
    finally:
        book.close()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the library raises of a damaged book, as a DataError."""
    try:
        yield
    except DAMAGED as problem:
        why = " ".join((str(problem) or type(problem).__name__).split())[:200]
        raise DataError(f"{path.name} is damaged: {why}.\nSave it again ({path}).") from None


def _library() -> ModuleType:
    try:
        import openpyxl
    except ImportError:
        raise ConfigError('reading .xlsx needs openpyxl: pip install "mapsto[excel]"') from None
    return openpyxl


def _sheet(book: Any, wanted: str, offer: Offer) -> str:
    """The sheet that was named, or the only one that holds anything."""
    names = [sheet.title for sheet in book.worksheets]
    if wanted:
        if wanted not in names:
            raise DataError(f"{offer.path.name} has no sheet '{wanted}'.\n{did_you_mean(wanted, names)}")
        return wanted
    filled = [name for name in names if next(_rows(book, name, ""), None)]
    if len(filled) > 1:
        raise DataError(
            f"{offer.path.name}: expected one sheet, found {len(filled)}: {', '.join(filled[:8])}.\n"
            f"Name one: {offer.shown}::{filled[0]}"
        )
    return (filled or names)[0]


def _rows(book: Any, name: str, area: str) -> Iterator[tuple[int, Sequence[Any]]]:
    """(number, cells) of every row that is not empty."""
    found = book[name][area.replace("$", "")] if area else book[name].iter_rows()
    for cells in found if isinstance(found, (tuple, Iterator)) else ((found,),):
        row = [cell.value for cell in cells]
        if any(value is not None for value in row):
            yield next(cell.row for cell in cells if cell.value is not None), row
