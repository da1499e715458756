"""Plain texts, read to be learned as they stand (`mapsto.data.formats.prose`)."""

from __future__ import annotations

from mapsto.data.offer import Offer, table_suffixes
from mapsto.source import Source


def claims(offer: Offer) -> float:
    """A folder of several texts without columns. Of a single file, the reader of tables finds out."""
    if not offer.is_folder or any(entry.suffix in table_suffixes() for entry in offer.files if entry.size):
        return 0.0
    from mapsto.data.formats.prose import are_prose, texts_of
    from mapsto.data.joined import are_apart

    texts = texts_of(offer.files)
    return 0.65 if len(texts) > 1 and are_prose(texts, are_apart([entry.name for entry in texts])) else 0.0


def open(offer: Offer) -> Source:
    """DataError: nothing in them."""
    from mapsto.data.formats.prose import source_of

    return source_of(offer)
