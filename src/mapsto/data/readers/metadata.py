"""Folder + metadata.csv, .jsonl or .parquet that names files (`mapsto.data.formats.metadata`)."""

from __future__ import annotations

from mapsto.data.files import Entry, Listing
from mapsto.data.offer import Offer, table_suffixes
from mapsto.source import Source


def metadata_files(found: Listing) -> list[Entry]:
    """The metadata files of a listing, the highest ones."""
    named = [
        entry
        for entry in found.files
        if entry.name.rpartition("/")[2].split(".")[0].lower() == "metadata"
        and entry.suffix in table_suffixes()
    ]
    depth = min((entry.name.count("/") for entry in named), default=0)
    return [entry for entry in named if entry.name.count("/") == depth]


def claims(offer: Offer) -> float:
    return 0.95 if offer.is_folder and metadata_files(offer.listing) else 0.0


def open(offer: Offer) -> Source:
    """One metadata file, or one in each split folder. DataError: no `file_name`, files missing, or files that
    are no images."""
    from mapsto.data.formats.metadata import source_of

    return source_of(offer, metadata_files(offer.listing))
