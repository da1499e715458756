"""Sheets of Excel, by name and range."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import pytest

from mapsto.data.open import open_source
from mapsto.errors import ConfigError, DataError
from mapsto.testing.readers import check_reader


@pytest.fixture
def book(tmp_path: Path) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    made = openpyxl.Workbook()
    made.active.title = "first"
    for row in [["when", "sum", "kind"], [datetime(2026, 1, 2), 1.5, "a"], [datetime(2026, 1, 3), None, "b"], [], [None, 3, "a"]]:
        made.active.append(row)
    other = made.create_sheet("more, later")
    for row in [[None, "x", "y"], [None, 1, 2], [None, 3, 4]]:
        other.append(row)
    made.save(tmp_path / "book.xlsx")
    return tmp_path / "book.xlsx"


def test_a_sheet_of_excel(book: Path) -> None:
    first = [{"when": datetime(2026, 1, 2), "sum": 1.5, "kind": "a"}, {"when": datetime(2026, 1, 3), "sum": None, "kind": "b"}]
    check_reader("excel", f"{book}::first", [*first, {"when": None, "sum": 3, "kind": "a"}])
    check_reader("excel", f"{book}::first!A1:C3", first)
    check_reader("excel", f"{book}::more, later!B1:C3", [{"x": 1, "y": 2}, {"x": 3, "y": 4}])


def test_one_sheet_of_several_is_to_be_named(book: Path) -> None:
    with pytest.raises(DataError, match="expected one sheet, found 2: first, more, later"):
        open_source(book)
    with pytest.raises(DataError, match="no sheet 'frist'"):
        open_source(f"{book}::frist")


def test_without_openpyxl_the_extra_is_named(book: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ConfigError, match=r'pip install "mapsto\[excel\]"') as caught:
        open_source(f"{book}::first")
    assert len(str(caught.value).splitlines()) == 1
