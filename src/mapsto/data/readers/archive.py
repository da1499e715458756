"""Archives of anything: unpacked once into the cache, then read as the folder they hold."""

from __future__ import annotations

import zipfile

from mapsto.data.offer import Offer, archive_name, is_archive
from mapsto.data.readers.base import open_offer
from mapsto.errors import DataError
from mapsto.source import Source


def claims(offer: Offer) -> float:
    return 0.7 if offer.is_file and is_archive(offer.path) else 0.0


def open(offer: Offer) -> Source:
    """DataError for an Office document, which is a zip too, and for what must not be unpacked."""
    if offer.kind == "zip" and "[Content_Types].xml" in zipfile.ZipFile(offer.path).namelist():
        raise DataError(
            f"{offer.path.name}: expected a table or an archive, this is an Office document.\n"
            f"Save the sheet as csv ({offer.path})."
        )
    from mapsto.data.archive import descend, left_out, unpack

    folder, called = descend(unpack(offer.path)), archive_name(offer.shown)
    left = tuple(left_out(offer.path))
    inside = Offer((folder,), offer.shown, known=offer.known, asked=offer.asked, called=called, left=left)
    source = open_offer(inside)
    if left:
        more = "…" if len(left) > 3 else ""
        named = ", ".join(f"{each.where[:60]} ({each.why[:80]})" for each in left[:3])
        source.said.append(f"{len(left):,} members of {offer.path.name} to look at: {named}{more}")
    return source
