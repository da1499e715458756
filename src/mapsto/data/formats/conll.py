"""Tagged sentences in CoNLL files: a word a line, its columns between tabs or blanks, an empty line behind
each sentence. Streamed.

A row is a sentence, each column a list. The first column is `words`, the last `tags`, what stands between
`column_2`, `column_3`, …; a first column that numbers the words is passed over. Ten columns that begin with
such numbers are CoNLL-U (universaldependencies.org/format): `words`, `lemma`, `upos`, `xpos`, `feats`,
`head`, `deprel`, `deps` and `misc`, each missing where a sentence has nothing but `_` in it.

Names are handed on as BIO: each begins with B-. Files whose names begin with I-, and with B- only right
behind a name of the same type (IOB1, Ramshaw & Marcus 1995, as in CoNLL-2003), are turned into it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mapsto.cells import shorten
from mapsto.data.files import entry_of, fingerprint_of, inner_suffix, reading, unpacked, unpacked_lines
from mapsto.data.formats.encoding import find_encoding, line_end, text_of
from mapsto.data.offer import Offer
from mapsto.errors import DataError
from mapsto.source import BadRow, Chunk, Source
from mapsto.types._name_marks import Scheme, begun, goes_on

WORDS, TAGS, NUMBER = "words", "tags", "number"


UNIVERSAL = (NUMBER, WORDS, "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")


NOTHING = "_"  # what CoNLL-U writes where there is nothing


CHUNK_WORDS = 1_000_000


_BLANKS = " \t\r\n"


_BETWEEN = re.compile(r"[ \t]+")


_DOCUMENT = re.compile(r"(\d+[ \t]+)?-DOCSTART-")


_COMMENT = re.compile(r"#\s*((newdoc|newpar)\b|\S+\s*=|(begin|end) document)")


_PART = re.compile(r"\d+[-.]\d+")  # 3-4, words written as one; 8.1, a word that is not written


Sentence = tuple[int, list[list[str]]]  # number of its first line, the cells of each of its lines


@dataclass(frozen=True)
class Layout:
    """How a file is written. columns: as they lie in it, `number` where words are numbered; begun: columns in
    IOB1; mixed: columns of names that are neither that nor BIO."""

    encoding: str = "utf-8"
    tabs: bool = False
    columns: tuple[str, ...] = ()
    begun: frozenset[str] = frozenset()
    mixed: frozenset[str] = frozenset()

    def cells(self, line: str) -> list[str]:
        return (
            [cell.strip(" ") for cell in line.rstrip(_BLANKS).split("\t")]
            if self.tabs
            else _BETWEEN.split(line.strip(_BLANKS))
        )

    def is_comment(self, line: str, inside: bool) -> bool:
        """Words may begin with # too: a comment stands before its sentence, and has other columns or the
        words of one."""
        if inside or not line.startswith("#"):
            return False
        other = line[1:2].strip() == "" and len(self.cells(line)) != len(self.columns)
        return other or self.columns[0] == NUMBER or bool(_COMMENT.match(line))


@dataclass
class ConllSource(Source):
    """Sentences of one file. A sentence with a line that does not fit is named and passed over."""

    path: str = ""
    layout: Layout = field(default_factory=Layout)

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        rows: list[dict[str, list[str] | None]] = []
        where: list[str] = []
        bad: list[BadRow] = []
        held = 0
        for number, lines in _sentences(self.path, self.layout):
            row = self._row(number, lines)
            if isinstance(row, BadRow):
                bad.append(row)
            else:
                rows.append(row)
                where.append(f"line {number}")
            held += len(lines)
            if len(rows) >= size or len(bad) >= size or held > CHUNK_WORDS:
                yield self._chunk(rows, where, bad)
                rows, where, bad, held = [], [], [], 0
        if rows or bad:
            yield self._chunk(rows, where, bad)

    def _chunk(self, rows: list[dict[str, list[str] | None]], where: list[str], bad: list[BadRow]) -> Chunk:
        return Chunk(
            {name: [row[name] for row in rows] for name in self.columns}, where, [None] * len(rows), bad
        )

    def _row(self, number: int, lines: list[list[str]]) -> dict[str, list[str] | None] | BadRow:
        names = self.layout.columns
        found = _columns(number, lines, len(names), names == UNIVERSAL)
        if isinstance(found, BadRow):
            return found
        row: dict[str, list[str] | None] = dict(zip(names, found, strict=True))
        if names[0] == NUMBER and not _counts(found[0]):
            return BadRow(
                f"line {number}",
                f"expected words numbered 1, 2, 3, …, got {shorten(' '.join(found[0]))}: is an empty line"
                " missing?",
            )
        for name in self.layout.begun:
            row[name] = begun(found[names.index(name)])
        if TAGS in self.layout.mixed and (lost := goes_on(found[names.index(TAGS)])):
            tag = found[names.index(TAGS)][lost[0]]
            return BadRow(
                f"line {number}",
                f"word {lost[0] + 1} is {tag}, which goes on from nothing: expected B-{tag[2:]} where a name"
                " begins",
            )
        if names == UNIVERSAL:
            row = {
                name: None if name != WORDS and set(cells or ()) == {NOTHING} else cells
                for name, cells in row.items()
            }
        return row


def source_of(offer: Offer) -> Source:
    """DataError: no word in it."""
    path = offer.path
    layout, told = _layout(path)
    columns = tuple(name for name in layout.columns if name != NUMBER)
    universal = layout.columns == UNIVERSAL
    said = [
        (
            "CoNLL-U"
            if universal
            else (
                f"a word a line, {len(layout.columns)} column{'s' * (len(layout.columns) != 1)}:"
                f" {', '.join(layout.columns)}"
            )
        )
    ]
    said += (
        [
            f"{', '.join(sorted(layout.begun))}: names begin with I- (IOB1) and are read as BIO, where each"
            " begins with B-"
        ]
        if layout.begun
        else []
    )
    said += (
        [f"{', '.join(sorted(layout.mixed))}: neither BIO nor IOB1, names begin with I- here and B- there"]
        if layout.mixed
        else []
    )
    said += [f"read as {layout.encoding}"] if not layout.encoding.startswith("utf-8") else []
    return ConllSource(
        name=path.name[: path.name.lower().rindex(inner_suffix(path.name))],
        columns=columns,
        fingerprint=fingerprint_of([entry_of(path)]),
        locations=(str(path.absolute()),),
        guess=f"{WORDS}:text -> {'upos' if universal else TAGS}:tags" if len(columns) > 1 else None,
        said=[f"{path.name}: {each}" for each in (*said, *told)],
        path=str(path),
        layout=layout,
    )


def _layout(path: Path) -> tuple[Layout, tuple[str, ...]]:
    """How the file is written, found by reading it twice, and what is to be said of its encoding."""
    with reading(path), unpacked(path) as handle:
        encoding, told = find_encoding(path, handle.read(1 << 18))
    layout = _with_columns(path, Layout(encoding))
    numbered, other = 0, 0
    schemes = [Scheme() for _ in layout.columns]
    for number, lines in _sentences(str(path), layout):
        found = _columns(number, lines, len(layout.columns), len(layout.columns) == len(UNIVERSAL))
        if isinstance(found, BadRow):
            continue
        numbered, other = numbered + _counts(found[0]), other + (not _counts(found[0]))
        for scheme, cells in zip(schemes, found, strict=True):
            scheme.see(cells)
    if numbered > other and len(layout.columns) > 1:
        count = len(layout.columns)
        columns = UNIVERSAL if count == len(UNIVERSAL) else (NUMBER, *_named(count - 1))
        layout = replace(layout, columns=columns)
    of = dict(zip(layout.columns, schemes, strict=True))
    return (
        replace(
            layout,
            begun=frozenset(name for name, scheme in of.items() if name != WORDS and scheme.is_begun),
            mixed=frozenset(name for name, scheme in of.items() if name != WORDS and scheme.is_mixed),
        ),
        told,
    )


def _with_columns(path: Path, layout: Layout) -> Layout:
    """What stands between columns, and as many of them as most lines have; of equally many lines the
    first's."""
    tabs, by_tabs, by_blanks = 0, Counter[int](), Counter[int]()
    for line in _lines(str(path), layout.encoding):
        if line.strip(_BLANKS) and not line.startswith("#") and not _DOCUMENT.match(line):
            tabs += "\t" in line.rstrip(_BLANKS)
            by_tabs[len(replace(layout, tabs=True).cells(line))] += 1
            by_blanks[len(layout.cells(line))] += 1
    if not by_tabs:
        raise DataError(
            f"{path}: expected a word a line, with its tag behind it; the file holds none.\nGive a file of"
            " tagged sentences."
        )
    found = replace(layout, tabs=2 * tabs > by_tabs.total())
    return replace(found, columns=_named((by_tabs if found.tabs else by_blanks).most_common(1)[0][0]))


def _named(count: int) -> tuple[str, ...]:
    return (WORDS, *(f"column_{i}" for i in range(2, count)), TAGS) if count > 1 else (WORDS,)


def _lines(path: str, encoding: str) -> Iterator[str]:
    end = line_end(path)
    with (
        reading(path),
        unpacked_lines(path) as handle,
        text_of(handle, encoding, marks=False, newline=end) as lines,  # type: ignore[arg-type]
    ):
        yield from lines


def _sentences(path: str, layout: Layout) -> Iterator[Sentence]:
    """The lines between empty lines, without comments and borders of documents."""
    begun, held = 0, []
    for number, line in enumerate(_lines(path, layout.encoding), 1):
        if not line.strip(_BLANKS) or _DOCUMENT.match(line):
            if held:
                yield begun, held
            held = []
        elif not layout.is_comment(line, bool(held)):
            begun = begun if held else number
            held.append(layout.cells(line))
    if held:
        yield begun, held


def _columns(number: int, lines: list[list[str]], width: int, universal: bool) -> list[list[str]] | BadRow:
    """The columns of a sentence, in CoNLL-U without the lines that are no words; or what does not fit."""
    for place, cells in enumerate(lines):
        if len(cells) != width:
            return BadRow(
                f"line {number + place}",
                f"expected {width} columns, as most lines have, got {len(cells)}: {shorten(' '.join(cells))}",
            )
        if "\0" in "".join(cells):
            return BadRow(f"line {number + place}", "holds a NUL byte, which no text does")
    kept = [cells for cells in lines if not _PART.fullmatch(cells[0])] if universal else lines
    return (
        [list(cells) for cells in zip(*kept, strict=True)]
        if kept
        else BadRow(f"line {number}", "a sentence without a word")
    )


def _counts(cells: Sequence[str]) -> bool:
    """1, 2, 3, … or 0, 1, 2, …"""
    return cells[0] in ("0", "1") and list(cells) == [
        str(i) for i in range(int(cells[0]), int(cells[0]) + len(cells))
    ]
