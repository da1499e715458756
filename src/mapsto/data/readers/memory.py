"""Data in memory: frames, lists of dicts, dicts of columns (`mapsto.data.formats.memory`)."""

from __future__ import annotations

from mapsto.data.offer import Offer
from mapsto.source import Source


def claims(offer: Offer) -> float:
    """Frames, lists of dicts, dicts of columns."""
    if not offer.is_memory:
        return 0.0
    from mapsto.data.formats.memory import is_frame

    return 1.0 if is_frame(offer.data) else 0.0


def open(offer: Offer) -> Source:
    """DataError: no columns, no rows, columns of unequal length."""
    from mapsto.data.formats.memory import source_of

    return source_of(offer)
