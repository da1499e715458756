"""Tables of the same columns as one, and several paths of any kind (`mapsto.data.formats.tables`)."""

from __future__ import annotations

from collections.abc import Mapping

from mapsto.data.files import Entry
from mapsto.data.media import by_suffix
from mapsto.data.offer import Offer, table_suffixes
from mapsto.errors import DataError
from mapsto.source import Source

LEFT_OUT = ("changes.csv",)  # of a cleaned copy


def claims(offer: Offer) -> float:
    if offer.is_several:
        return 0.3
    tables = _tables(offer) if offer.is_folder else {}
    return 0.9 if _names_files(offer, tables) else 0.6 if tables else 0.0


def open(offer: Offer) -> Source:
    """DataError: several tables of which nothing says that they belong together."""
    from mapsto.data.formats.tables import of_a_folder, one_after_the_other

    return one_after_the_other(offer) if offer.is_several else of_a_folder(offer, _tables(offer))


def _names_files(offer: Offer, tables: Mapping[str, Entry]) -> bool:
    """Is there one table, beside files that its cells name?"""
    if len(tables) != 1 or not any(by_suffix(entry.name) for entry in offer.files):
        return False
    from mapsto.data._beside import names_files
    from mapsto.data.formats.tables import of_a_folder

    try:
        source = of_a_folder(offer, tables)
    except DataError:
        return False
    return names_files(source, offer.path, offer.follow)


def _tables(offer: Offer) -> dict[str, Entry]:
    """The files of a folder that hold a table each; its texts where there is none."""
    found = {entry.name: entry for entry in offer.files if entry.suffix in table_suffixes() and entry.size}
    if not found:
        from mapsto.data.formats.prose import texts_of

        found = {entry.name: entry for entry in texts_of(offer.files)}
    kept = {
        name: entry
        for name, entry in found.items()
        if "submission" not in name.lower() and name not in LEFT_OUT
    }
    return kept or found
