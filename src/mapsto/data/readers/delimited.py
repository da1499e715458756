"""Tables in text files: csv, tsv, txt, and the same packed by gzip. What has no columns is running text
(`mapsto.data.readers.prose`)."""

from __future__ import annotations

from mapsto.data.files import entry_of, stem
from mapsto.data.offer import Offer
from mapsto.data.readers._delimited import DelimitedSource, open_delimited
from mapsto.data.readers._dialect import LINE, find_dialect
from mapsto.data.readers.prose import PROSE_SUFFIXES, MaybeProse, open_prose
from mapsto.source import Source

SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".data"})
FORMATS = ("csv", "tsv")


def claims(offer: Offer) -> float:
    """Any text; more surely one that is called so."""
    if offer.kind != "text":
        return 0.0
    return 0.85 if offer.suffix in (".csv", ".tsv") else 0.5


def open(offer: Offer) -> Source:
    """DataError: no table, or no rows."""
    dialect = find_dialect(offer.path, offer.known)
    if dialect.delimiter == LINE:
        return open_prose(stem(offer.path.name), [entry_of(offer.path)])
    kind = MaybeProse if offer.suffix in PROSE_SUFFIXES else DelimitedSource
    return open_delimited(offer.path, dialect, kind)
