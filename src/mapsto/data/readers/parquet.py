"""Parquet files (`mapsto.data.formats.parquet`)."""

from __future__ import annotations

from mapsto.data.offer import Offer
from mapsto.source import Source

MAGIC = b"PAR1"
SUFFIXES = frozenset({".parquet", ".pq"})
FORMATS = ("parquet",)


def claims(offer: Offer) -> float:
    return 1.0 if offer.head.startswith(MAGIC) else 0.0


def open(offer: Offer) -> Source:
    """DataError: damaged, packed again, or without rows."""
    from mapsto.data.formats.parquet import source_of

    return source_of(offer)
