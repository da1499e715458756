"""Databases in a file, SQLite's and DuckDB's: 'shop.sqlite::orders', a table or view, or a query in its
place: 'shop.sqlite::SELECT * FROM orders WHERE paid'. Opened to be read alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from mapsto.data.files import fingerprint_of, reading
from mapsto.data.formats.parquet import INSTANT, instant, quote
from mapsto.data.offer import Offer
from mapsto.errors import DataError, did_you_mean
from mapsto.source import Chunk, Source

TABLES = {
    False: "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'",
    True: "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main'",
}


@dataclass
class DatabaseSource(Source):
    """What a query answers, in the order in which it is answered. duck: DuckDB's, not SQLite's."""

    path: str = ""
    query: str = ""
    duck: bool = False

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        first = 0
        with _connected(Path(self.path), self.duck) as base:
            cursor = base.execute(self.query)
            while rows := cursor.fetchmany(size):
                columns = dict(zip(self.columns, zip(*rows, strict=True), strict=True))
                where = [f"row {first + i}" for i in range(len(rows))]
                yield Chunk(columns, where, [None] * len(rows))
                first += len(rows)


def _query(offer: Offer, tables: list[str]) -> str:
    """What is asked for: a query as it stands, or all of a table."""
    wanted = offer.inside.strip()
    if wanted.lower().startswith(("select ", "with ")):
        return wanted
    if not wanted and len(tables) != 1:
        told = f"{len(tables)}: {', '.join(tables[:8])}" if tables else "none"
        hint = f"\nName one: {offer.shown}::{tables[0]}" if tables else ""
        raise DataError(f"{offer.path.name}: expected one table, found {told}.{hint}")
    table = wanted or tables[0]
    if table not in tables:
        raise DataError(f"{offer.path.name} has no table '{table}'.\n{did_you_mean(table, tables)}")
    quoted = table.replace('"', '""')
    return f'SELECT * FROM "{quoted}"'


def _in_utc(base: Any, query: str) -> str:
    """The query, its times with zones as instants in UTC."""
    described = [(str(name), kind) for name, kind, *_ in base.execute(f"DESCRIBE {query}").fetchall()]
    zoned = [f"{instant(name)} AS {quote(name)}" for name, kind in described if kind == INSTANT]
    return f"SELECT * REPLACE ({', '.join(zoned)}) FROM ({query.strip().rstrip(';')})" if zoned else query


@contextmanager
def _connected(path: Path, duck: bool) -> Iterator[Any]:
    with reading(path):
        path.open("rb").close()  # permission and absence in our words
    try:
        if duck:
            # its views are somebody else's queries, which could read any file
            alone: dict = {"enable_external_access": "false", "lock_configuration": "true"}
            base: Any = duckdb.connect(str(path), read_only=True, config=alone)
        else:
            base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except (duckdb.Error, sqlite3.Error) as problem:
        raise _refused(path, problem) from None
    try:
        yield base
    except (duckdb.Error, sqlite3.Error) as problem:
        raise _refused(path, problem) from None
    finally:
        base.close()


def _refused(path: Path, problem: Exception) -> DataError:
    said = str(problem).strip().splitlines()[0][:300]
    return DataError(f"{path.name}: the database answers: {said}\nIn {path.absolute().parent}.")


def source_of(offer: Offer, duck: bool) -> Source:
    """duck: DuckDB's, not SQLite's."""
    with _connected(offer.path, duck) as base:
        tables = [str(row[0]) for row in base.execute(f"{TABLES[duck]} ORDER BY 1").fetchall()]
        query = _query(offer, tables)
        if duck:
            query = _in_utc(base, query)
        cursor = base.execute(query)
        columns = tuple(str(column[0]) for column in cursor.description)
        if cursor.fetchone() is None:
            raise DataError(
                f"{offer.path.name}: expected rows, '{offer.inside or tables[0]}' has none."
                "\nName another table."
            )
    if len(set(columns)) < len(columns):
        raise DataError(f"{offer.path.name}: two columns of one name.\nName them apart: SELECT … AS …")
    return DatabaseSource(
        name=f"{offer.name}-{offer.inside}" if offer.inside in tables else offer.name,
        columns=columns,
        fingerprint=f"{fingerprint_of([offer.entry])}:{offer.inside}",
        said=[f"{offer.path.name}: {query}"],
        path=str(offer.path),
        query=query,
        duck=duck,
    )
