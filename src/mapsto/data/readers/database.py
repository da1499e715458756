"""Databases in a file, SQLite's and DuckDB's (`mapsto.data.formats.database`)."""

from __future__ import annotations

from mapsto.data.offer import Offer
from mapsto.source import Source

SUFFIXES = frozenset({".sqlite", ".sqlite3", ".db", ".duckdb"})
FORMATS = ("SQLite", "DuckDB")
SQLITE, DUCKDB = b"SQLite format 3\0", b"DUCK"  # the second behind eight bytes of a checksum


def claims(offer: Offer) -> float:
    return 1.0 if offer.head.startswith(SQLITE) or _is_duckdb(offer.head) else 0.0


def open(offer: Offer) -> Source:
    """DataError: no such table, several and none is named, a query that cannot be answered, or no rows."""
    from mapsto.data.formats.database import source_of

    return source_of(offer, _is_duckdb(offer.head))


def _is_duckdb(head: bytes) -> bool:
    return head[8:12] == DUCKDB
