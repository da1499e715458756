"""Tables in text files: csv, tsv, txt, and the same packed by gzip. What has no columns is running text
(`mapsto.data.formats.prose`)."""

from __future__ import annotations

from mapsto.data.files import entry_of, stem
from mapsto.data.formats.delimited import DelimitedSource, check_first_line, open_delimited
from mapsto.data.formats.dialect import LINE, find_dialect
from mapsto.data.offer import Offer
from mapsto.source import Source

SUFFIXES = frozenset({".csv", ".tsv", ".tab", ".data"})
PROSE_SUFFIXES = (".txt", ".text", ".md")  # of names that are rather a text's
FORMATS = ("csv", "tsv")


def claims(offer: Offer) -> float:
    """Any text; more surely one that is called so."""
    if offer.kind != "text":
        return 0.0
    return 0.85 if offer.suffix in (".csv", ".tsv") else 0.5


def open(offer: Offer) -> Source:
    """DataError: no table, or no rows."""
    if offer.suffix in (".csv", ".tsv"):
        check_first_line(offer.path)
    dialect = find_dialect(offer.path, offer.known, offer.asked)
    if dialect.delimiter == LINE:
        from mapsto.data.formats.prose import open_prose

        return open_prose(stem(offer.path.name), [entry_of(offer.path)])
    if offer.suffix not in PROSE_SUFFIXES:
        return open_delimited(offer.path, dialect, DelimitedSource)
    from mapsto.data.formats.prose import MaybeProse

    return open_delimited(offer.path, dialect, MaybeProse)
