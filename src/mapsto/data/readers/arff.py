"""Weka's .arff (`mapsto.data.formats.arff`)."""

from __future__ import annotations

from mapsto.data.offer import Offer
from mapsto.source import Source

SUFFIXES = frozenset({".arff"})
FORMATS = ("arff",)


def claims(offer: Offer) -> float:
    return 0.95 if offer.kind == "text" and offer.suffix in SUFFIXES else 0.0


def open(offer: Offer) -> Source:
    """DataError: no attributes, or no rows."""
    from mapsto.data.formats.arff import source_of

    return source_of(offer)
