"""Tables and queries of databases in a file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from mapsto.data.open import open_source
from mapsto.errors import DataError
from mapsto.source import table_of
from mapsto.testing.readers import check_reader

ROWS = [{"x": i, "y": "even" if i % 2 == 0 else "odd"} for i in range(10)]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    with sqlite3.connect(tmp_path / "shop.sqlite") as base:
        base.execute("CREATE TABLE orders (x INTEGER, y TEXT)")
        base.executemany("INSERT INTO orders VALUES (?, ?)", [(row["x"], row["y"]) for row in ROWS])
    base.close()
    return tmp_path / "shop.sqlite"


def test_a_table_of_sqlite(shop: Path) -> None:
    check_reader("database", shop, ROWS)
    check_reader("database", f"{shop}::orders", ROWS)
    check_reader("database", f"{shop}::SELECT x FROM orders WHERE y = 'odd'", [{"x": row["x"]} for row in ROWS if row["y"] == "odd"])


def test_a_table_of_duckdb(tmp_path: Path) -> None:
    import duckdb

    with duckdb.connect(str(tmp_path / "shop.duckdb")) as base:
        base.execute("CREATE TABLE orders AS SELECT range AS x, CASE range % 2 WHEN 0 THEN 'even' ELSE 'odd' END AS y FROM range(10)")
    check_reader("database", f"{tmp_path / 'shop.duckdb'}::orders", ROWS)


def test_an_unknown_table_and_a_query_that_writes(shop: Path) -> None:
    with pytest.raises(DataError, match="no table 'order'"):
        open_source(f"{shop}::order")
    with pytest.raises(DataError, match="answers: "):
        open_source(f"{shop}::WITH t AS (SELECT 1) DELETE FROM orders")
    assert len(table_of(open_source(shop))["x"]) == 10
