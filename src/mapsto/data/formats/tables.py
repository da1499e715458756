"""Tables of the same columns as one: train and test files, shards, the one table of a folder; and several
paths of any kind, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mapsto.data.files import Entry, Listing, stem
from mapsto.data.joined import Part, are_apart, folder_in_name, group_by_split, join, split_of_name
from mapsto.data.media import by_suffix
from mapsto.data.offer import Offer, is_archive, table_suffixes
from mapsto.data.readers.base import open_offer
from mapsto.errors import DataError
from mapsto.source import Source


def one_after_the_other(offer: Offer) -> Source:
    """Paths that a person named; names like data-train.csv and data-test.csv divide the rows."""
    named = [split_of_name(stem(path.name)) for path in offer.paths]
    splits, bases = [split for _, split in named], {base for base, _ in named}
    name = next(iter(bases)) if len(bases) == 1 else offer.name
    if all(map(_is_table, offer.paths)):
        return open_parts(name or "table", list(offer.paths), splits, offer.known, offer.asked)
    divided = len(set(splits)) > 1
    parts = [
        Part(
            open_offer(Offer((path,), str(path), known=offer.known, asked=offer.asked, follow=offer.follow)),
            path.name,
            split if divided else None,
        )
        for path, split in zip(offer.paths, splits, strict=True)
    ]
    return join(name or "data", parts)


def _is_table(path: Path) -> bool:
    """A file with columns, so that all of them have the first one's."""
    if path.is_dir() or is_archive(path):
        return False
    offer = Offer((path,))
    return offer.kind == "text" or offer.suffix in table_suffixes()


def several(found: Listing, shown: str, tables: list[str]) -> DataError:
    listed = ", ".join(tables[:8]) + (f", … ({len(tables)} in all)" if len(tables) > 8 else "")
    pairs = [
        base
        for base, each in group_by_split([stem(table) for table in tables]).items()
        if len(each) > 1 and base
    ]
    together = f', or train and test together: "{shown}/{pairs[0]}*"' if pairs else ""
    return DataError(
        f"expected one table in {shown}, found {len(tables)}: {listed}.\nName one:"
        f" {shown}/{tables[0] if not pairs else tables[-1]}{together}."
    )


def open_parts(
    name: str,
    paths: Sequence[Path],
    splits: Sequence[str | None],
    known: Sequence[str] = (),
    asked: Sequence[str] = (),
) -> Source:
    """Tables of the same columns as one source; splits count when there are two or more."""
    if len(paths) == 1:
        return open_offer(Offer((paths[0],), str(paths[0]), known=tuple(known), asked=tuple(asked)))
    divided = len(set(splits)) > 1
    order = sorted(
        range(len(paths)),
        key=lambda i: ("train", None, "validation", "test").index(splits[i]) if divided else i,
    )
    parts: list[Part] = []
    for i in order:
        source = open_offer(Offer((paths[i],), str(paths[i]), known=tuple(known), asked=tuple(asked)))
        known = known or source.columns
        parts.append(Part(source, paths[i].name, splits[i] if divided else None))
    return join(name, parts)


def of_a_folder(offer: Offer, tables: Mapping[str, Entry]) -> Source:
    """Its one table, or those that belong together. DataError: several of which nothing says so."""
    if are_apart(list(tables)):
        raise several(offer.listing, offer.shown, list(tables))
    splits = [split_of_name(folder_in_name(each))[1] for each in tables]
    source = open_parts(
        offer.name, [Path(entry.path) for entry in tables.values()], splits, offer.known, offer.asked
    )
    others = [entry.name for entry in offer.files if entry.name not in tables and not by_suffix(entry.name)]
    if others:
        more = "…" if len(others) > 4 else ""
        source.said.append(f"other files passed over: {', '.join(others[:4])}{more}")
    return source
