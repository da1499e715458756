"""Speech as LJSpeech has it, and many a recorded voice: `metadata.csv` without a header, whose lines are the
name of a sound without its suffix, what is said, and mostly the same with numbers as words, with | between;
`wavs/` beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from mapsto.data.files import Entry, head_of
from mapsto.data.media import by_suffix
from mapsto.data.offer import Offer
from mapsto.source import Source

COLUMNS = ("audio", "text", "normalized_text")
FOLDERS = ("wavs", "wav")


def claims(offer: Offer) -> float:
    return 1.0 if offer.is_folder and _found(offer) else 0.0


def open(offer: Offer) -> Source:
    """Columns audio, text, and normalized_text where the table has it."""
    from mapsto.data.formats.clips import ClipSource, with_clips

    table, clips = _found(offer)[0]
    columns = COLUMNS[: len(_first_line(table).split("|"))]
    source = ClipSource(
        name=offer.name,
        columns=columns,
        fingerprint="",
        guess=f"audio -> {columns[-1]}:text",
        said=[f"{table.name}: the name of a sound, {' and '.join(columns[1:])} in each line"],
    )
    names = {PurePosixPath(clip.name).name: clip for clip in clips}
    return with_clips(source, table, {PurePosixPath(name).stem: clip for name, clip in names.items()} | names)


def _found(offer: Offer) -> Sequence[tuple[Entry, list[Entry]]]:
    """The table and its sounds, where the first line names one of them."""
    found = []
    for table in offer.files:
        if not table.name.endswith("metadata.csv") or PurePosixPath(table.name).name != "metadata.csv":
            continue
        above = PurePosixPath(table.name).parent
        clips = [
            entry
            for entry in offer.files
            if PurePosixPath(entry.name).parent in [above / name for name in FOLDERS]
            and by_suffix(entry.name) == "audio"
        ]
        named, *said = _first_line(table).split("|")
        if 0 < len(said) < len(COLUMNS) and any(
            named in (PurePosixPath(clip.name).stem, PurePosixPath(clip.name).name) for clip in clips
        ):
            found.append((table, clips))
    return found


def _first_line(table: Entry) -> str:
    return head_of(table.path).decode("utf-8-sig", "replace").partition("\n")[0].rstrip("\r")
