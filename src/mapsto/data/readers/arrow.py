"""Arrow and feather files, and folders of Hugging Face's `datasets` (`mapsto.data.formats.arrow`)."""

from __future__ import annotations

from mapsto.data.offer import Offer
from mapsto.source import Source

SUFFIXES = frozenset({".arrow", ".feather"})
FORMATS = ("Arrow", "feather")


def claims(offer: Offer) -> float:
    if not offer.is_folder and offer.suffix not in SUFFIXES and not offer.head.startswith(b"ARROW"):
        return 0.0
    from mapsto.data.formats.arrow import FILE, INFO, SPLITS_FILE, STATE, STREAM

    if offer.is_folder:
        names = {entry.name for entry in offer.files}
        return 1.0 if SPLITS_FILE in names or {STATE, INFO} <= names else 0.0
    if offer.head.startswith(FILE):
        return 1.0
    return 0.9 if offer.suffix in SUFFIXES and offer.head.startswith(STREAM) else 0.0


def open(offer: Offer) -> Source:
    """DataError: damaged, without rows, or rows of a `datasets` folder chosen but not written. ConfigError:
    pyarrow is missing."""
    from mapsto.data.formats.arrow import source_of

    return source_of(offer)
