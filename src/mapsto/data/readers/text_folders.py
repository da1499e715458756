"""Folders of class folders of text files (`mapsto.data.formats.text_folders`)."""

from __future__ import annotations

from mapsto.data.offer import Offer
from mapsto.source import Source


def claims(offer: Offer) -> float:
    """Of two classes and more, many short files each; books in folders are prose, to be learned as they
    stand."""
    if not offer.is_folder:
        return 0.0
    from mapsto.data.formats.text_folders import are_classed

    return 0.7 if are_classed(offer.files) else 0.0


def open(offer: Offer) -> Source:
    from mapsto.data.formats.text_folders import source_of

    return source_of(offer)
