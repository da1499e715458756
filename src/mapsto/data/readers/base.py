"""Formats, one file each: the folder is asked which of them is surest of what a person points at."""

from __future__ import annotations

from collections import Counter

from mapsto.data.files import NOT_OPENED
from mapsto.data.media import words
from mapsto.data.offer import ROOM, Offer, formats
from mapsto.errors import DataError
from mapsto.registry import module, names
from mapsto.source import Source


def open_offer(offer: Offer) -> Source:
    """By the reader that is surest of it. DataError where none claims it."""
    if offer.is_folder and not offer.files:
        raise _empty(offer)
    if offer.kind == "empty":
        raise DataError(f"{offer.path}: expected rows, the file is empty.\nGive one with rows.")
    sure = {name: module(ROOM, name).claims(offer) for name in names(ROOM)}
    best = max(sure, key=lambda name: sure[name])
    if sure[best] <= 0:
        raise _unclaimed(offer)
    source = module(ROOM, best).open(offer)
    if offer.is_folder and (hidden := offer.listing.hidden):
        more = "…" if len(hidden) > 3 else ""
        source.said.append(f"hidden and system files passed over: {', '.join(hidden[:3])}{more}")
    if offer.is_folder and (outside := offer.listing.leading_out):
        more = "…" if len(outside) > 3 else ""
        source.said.append(
            f"left out: {len(outside):,} links out of the folder ({', '.join(outside[:3])}{more}); to follow"
            " them: --follow-links"
        )
    return source


def _empty(offer: Offer) -> DataError:
    found = offer.listing
    hint = f"It holds only {', '.join(found.hidden[:3])}." if found.hidden else ""
    if found.bad:
        first = found.bad[0]
        raise DataError(
            f"expected images, sounds or a table in {offer.shown}, all its files are left out"
            f" ({len(found.bad):,}).\nThe first: {first.where}: {first.why}."
        )
    return DataError(
        f"expected images, sounds or a table in {offer.shown}, the folder is empty.\n{hint}".rstrip()
    )


def _unclaimed(offer: Offer) -> DataError:
    if offer.is_memory:
        empty = "an empty " if isinstance(offer.data, (list, tuple, dict)) and not offer.data else ""
        return DataError(
            "expected a path, several paths, a frame, a list of dicts, a dict of columns or arrays (X, y),"
            f" got {empty}{type(offer.data).__name__}."
            "\nGive one of these."
        )
    if offer.is_file and offer.kind in NOT_OPENED:
        return DataError(
            f"{offer.path.name} is a {offer.kind}, which mapsto does not open.\nUnpack it yourself and name"
            f" the folder, or pack it as .zip or .tar.gz ({offer.path.parent})."
        )
    if offer.is_file:
        return DataError(
            f"{offer.path.name}: expected {formats()}, this is a {offer.kind}.\nIn {offer.path.parent}."
        )
    kinds = Counter(entry.suffix or "no suffix" for entry in offer.files)
    held = ", ".join(f"{count:,} {suffix}" for suffix, count in kinds.most_common(5))
    return DataError(
        f"expected {words()} or a table ({formats()}) in {offer.shown}, found {held}.\n"
        "Give a folder of class folders, a folder with metadata.csv, or a table."
    )
