"""Speech as Common Voice has it: tables of tabs (`train.tsv`, `dev.tsv`, `test.tsv`, `validated.tsv`) that
name a sound of `clips/` in `path` and what is said in `sentence`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from mapsto.data.files import Entry, head_of
from mapsto.data.offer import Offer
from mapsto.errors import DataError
from mapsto.source import Source, split_name

FILE, SAID, CLIPS = "path", "sentence", "clips"
WHOLE = "validated"  # the table of all clips that others have checked, where no split has one of its own


def claims(offer: Offer) -> float:
    return 1.0 if offer.is_folder and _tables(offer) else 0.0


def open(offer: Offer) -> Source:
    """Columns audio and sentence, then the table's others. DataError: several languages, or no table of clips
    that may be learned from."""
    from mapsto.data.joined import Part, join

    tables = _tables(offer)
    if len({PurePosixPath(entry.name).parent for entry in tables.values()}) > 1:
        raise DataError(
            f"{offer.shown}: expected the clips of one language, got {', '.join(list(tables)[:4])}.\nName the"
            " folder of one."
        )
    by_name = {PurePosixPath(name).stem: entry for name, entry in tables.items()}
    splits = {stem: entry for stem, entry in by_name.items() if split_name(stem)}
    used = splits or {stem: entry for stem, entry in by_name.items() if stem == WHOLE}
    if not used:
        raise DataError(
            f"{offer.shown}: expected train.tsv or {WHOLE}.tsv, got {', '.join(list(tables)[:6])}.\nName the"
            " table that is wanted."
        )
    parts = [Part(_opened(offer, entry), stem, split_name(stem)) for stem, entry in used.items()]
    source = join(offer.name, parts) if len(parts) > 1 else parts[0].source
    if left := sorted(set(by_name) - set(used)):
        source.said.append(f"other tables passed over: {', '.join(left[:6])}")
    return source


def _opened(offer: Offer, table: Entry) -> Source:
    from mapsto.data.formats.clips import AUDIO, ClipSource, with_clips

    header = _header(table)
    above = str(PurePosixPath(table.name).parent / CLIPS).removeprefix("./")
    clips = {e.name[len(above) + 1 :]: e for e in offer.files if e.name.startswith(f"{above}/")}
    source = ClipSource(
        name=offer.name,
        columns=(AUDIO, *(f"{name}_2" if name == AUDIO else name for name in header if name != FILE)),
        fingerprint="",
        guess=f"{AUDIO} -> {SAID}:text",
        said=[f"{table.name}: clips in {above}"],
        mark="\t",
        named=header.index(FILE),
        skip=1,
    )
    return with_clips(source, table, clips)


def _tables(offer: Offer) -> Mapping[str, Entry]:
    """The tables that name clips beside them."""
    tables = [entry for entry in offer.files if entry.suffix == ".tsv"]
    folders = {str(PurePosixPath(entry.name).parent) for entry in offer.files if tables}
    return {
        entry.name: entry
        for entry in tables
        if str(PurePosixPath(entry.name).parent / CLIPS) in folders and {FILE, SAID} <= set(_header(entry))
    }


def _header(table: Entry) -> list[str]:
    return head_of(table.path).decode("utf-8-sig", "replace").partition("\n")[0].rstrip("\r").split("\t")
