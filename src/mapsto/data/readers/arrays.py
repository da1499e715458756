"""Arrays on disk: idx, npz and npy (`mapsto.data.formats.arrays`)."""

from __future__ import annotations

from pathlib import Path

from mapsto.data.files import Entry, head_of, listing
from mapsto.data.offer import NPY, Offer, is_idx, is_npz
from mapsto.source import Source

FORMATS = ("npy", "npz", "idx")


def claims(offer: Offer) -> float:
    """By the first bytes; a folder, by files named as MNIST's are, or when nothing else lies in it."""
    if offer.is_file:
        zipped = offer.kind == "zip" and not offer.packing and is_npz(offer.path)
        plain = offer.head.startswith(NPY) and not offer.packing
        return 1.0 if zipped or plain or is_idx(offer.head) else 0.0
    if not offer.is_folder:
        return 0.0
    return 0.9 if _idx_files(offer) else 0.3 if len(_alone(offer)) == 1 else 0.0


def open(offer: Offer) -> Source:
    """DataError: no images, or several sets of them."""
    from mapsto.data.formats.arrays import open_idx, open_npz

    if offer.is_folder:
        if idx := _idx_files(offer):
            return open_idx(idx, [entry for entry in offer.files if entry not in idx], offer.name)
        return open_npz(Path(_alone(offer)[0].path))
    if not is_idx(offer.head):
        return open_npz(offer.path)
    name = offer.entry.name
    labels = name.replace("images", "labels").replace("idx3", "idx1")
    around = [each for each in listing(offer.path.parent, offer.follow).files if "/" not in each.name]
    partner = [each for each in around if each.name == labels and each.name != name]
    return open_idx([offer.entry, *partner], around, offer.name)


def _alone(offer: Offer) -> list[Entry]:
    return [entry for entry in offer.files if entry.suffix in (".npz", ".npy")]


def _idx_files(offer: Offer) -> list[Entry]:
    """Directly in the folder, or in the one that holds everything, as in archives."""
    files = offer.files
    tops = {entry.name.split("/")[0] for entry in files}
    one_top = len(tops) == 1 and all("/" in entry.name for entry in files)
    cut = len(next(iter(tops))) + 1 if one_top else 0
    named = [entry for entry in files if "idx" in entry.name.lower() or "ubyte" in entry.name.lower()]
    return [entry for entry in named if "/" not in entry.name[cut:] and is_idx(head_of(entry.path))]
