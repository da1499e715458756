"""Texts side by side in files of their own, line by line (`mapsto.data.formats.parallel`)."""

from __future__ import annotations

from mapsto.data.offer import Offer
from mapsto.source import Source


def claims(offer: Offer) -> float:
    """Files of a folder, or several, whose names differ in their last part alone."""
    if not (offer.is_folder or offer.is_several):
        return 0.0
    from mapsto.data.formats.parallel import alone, entries, groups

    if groups(entries(offer))[1]:
        return 0.7
    return 0.05 if offer.is_folder and alone(offer.files) else 0.0


def open(offer: Offer) -> Source:
    """DataError: some files have no partner, or unequally many lines."""
    from mapsto.data.formats.parallel import source_of

    return source_of(offer)
