"""Tagged sentences in CoNLL files: a word a line (`mapsto.data.formats.conll`)."""

from __future__ import annotations

from mapsto.data.offer import Offer
from mapsto.source import Source

SUFFIXES = frozenset({".conll", ".conllu", ".bio", ".iob"})
FORMATS = ("CoNLL",)


def claims(offer: Offer) -> float:
    """By its name: a text of a word a line may be anything."""
    return 0.9 if offer.kind == "text" and offer.suffix in SUFFIXES else 0.0


def open(offer: Offer) -> Source:
    """DataError: no word in it."""
    from mapsto.data.formats.conll import source_of

    return source_of(offer)
