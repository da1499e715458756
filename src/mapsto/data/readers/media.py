"""Pictures, sounds and whatever else is a file each: one or more (`mapsto.data.formats.media`)."""

from __future__ import annotations

from mapsto.data.files import Listing
from mapsto.data.media import by_content, by_suffix, medium_of, of_one_medium
from mapsto.data.offer import Offer
from mapsto.source import Source


def claims(offer: Offer) -> float:
    if offer.is_file:
        return 1.0 if by_content(offer.head) else 0.9 if _medium(offer) else 0.0
    if offer.is_folder:
        return 0.8 if of_one_medium(offer.files)[1] else 0.0
    return 0.8 if offer.is_several and _of_all(offer) else 0.0


def open(offer: Offer) -> Source:
    """DataError: pictures with masks beside them."""
    from mapsto.data.formats.media import classed, flat

    if offer.is_several:
        return flat(offer, str(_of_all(offer)))
    if offer.is_folder:
        medium, files = of_one_medium(offer.files)
        return classed(offer.listing, files, offer.name, medium)
    found = Listing(offer.path.parent, [offer.entry])
    return classed(found, found.files, offer.path.stem, str(_medium(offer)))


def _medium(offer: Offer) -> str | None:
    """Of a single file: by its first bytes, by its suffix where they say nothing."""
    return by_content(offer.head) or (by_suffix(offer.entry.name) if offer.kind == "binary file" else None)


def _of_all(offer: Offer) -> str | None:
    """The one medium that all of several files are of."""
    found = {medium_of(entry) for entry in offer.files}
    return next(iter(found)) if len(found) == 1 and len(offer.files) == len(offer.paths) else None
