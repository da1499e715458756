"""WebDataset: a .tar in which the files of one name are a row (`mapsto.data.formats.webdataset`)."""

from __future__ import annotations

from mapsto.data.offer import ARCHIVES, Offer
from mapsto.source import Source

SUFFIXES = frozenset({".tar"})
FORMATS = ("WebDataset",)


def claims(offer: Offer) -> float:
    """A tar whose first files come in rows of two or more, one of them saying something of the others."""
    if not offer.is_file or not (offer.kind == "tar" or offer.path.name.lower().endswith(ARCHIVES)):
        return 0.0
    from mapsto.data.formats.webdataset import has_rows

    return 0.9 if has_rows(offer.path) else 0.0


def open(offer: Offer) -> Source:
    """DataError: damaged, or without rows."""
    from mapsto.data.formats.webdataset import source_of

    return source_of(offer)
