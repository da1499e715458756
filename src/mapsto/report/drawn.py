"""Blocks as html. What is too much for a page is cut to what people look at, and that is said beside it."""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import PIL.Image

from mapsto.blocks import Bars, Block, Code, Gallery, Item, Lines, Matrix, Paragraph, Table
from mapsto.report.figures import MOST_BARS, SERIES, WIDE, bars, both, legend, lines
from mapsto.report.markup import Html, clean, data_text, joined, prose, safe, tag
from mapsto.report.matrix import FEW, MOST, heat_map, key
from mapsto.report.scales import column

_NUMERAL = re.compile(r"[-–—]?|(?=.*\d)[\d\s.,:%×()±+/<>–−-]{1,40}")
FAINTEST_MARK = 0.04  # of a piece of text; fainter weights are not marked
STRIP = 4  # times as wide as high
TINY = 64  # pixels a side: shown as the squares they are
FOLDED, SHOWN = 24, 15  # a table of more rows shows so many, and the others on demand
SMALL, LARGE = 16_000, 60_000  # bytes of a PNG that is carried as it is, and of one that is surely a photo


@dataclass(frozen=True)
class Limits:
    """How much of a block a page shows. side: pixels of a picture, 0 for none; letters of a cell; rows and
    columns of a table; items of a gallery."""

    side: int = 256
    letters: int = 300
    rows: int = 200
    columns: int = 40
    items: int = 60


ROOMY = Limits()


def drawn(block: Block, limits: Limits = ROOMY) -> Html:
    """One block. TypeError for what is no block."""
    for kind, draw in DRAW.items():
        if isinstance(block, kind):
            return draw(block, limits)
    raise TypeError(f"{type(block).__name__} is no block")


def says(block: Paragraph, limits: Limits) -> Html:
    """Paragraphs; lines that begin with "- " are a list, those that begin with "# " headings."""
    parts: list[Html] = []
    for is_list, found in itertools.groupby(
        filter(str.strip, block.text.split("\n")), key=lambda line: line.startswith("- ")
    ):
        if is_list:
            parts.append(tag("ul", *(tag("li", prose(line[2:])) for line in found)))
        else:
            parts += [
                tag("h3", prose(line[2:])) if line.startswith("# ") else tag("p", prose(line))
                for line in found
            ]
    return joined(parts)


def code(block: Code, limits: Limits) -> Html:
    lines = (
        [joined(_words(line)) for line in block.text.split("\n")]
        if block.language == "sh"
        else [clean(block.text)]
    )
    return tag(
        "pre",
        tag("code", joined(lines, "\n"), class_=f"language-{block.language}"),
        tabindex=0,
        aria_label=f"{block.language} lines to copy",
    )


def _words(line: str) -> list[Html]:
    """A command's words: it is broken between them, and not behind the dashes of an option."""
    return [
        tag("span", part, class_="word") if 1 < len(part) < 24 and "-" in part else safe(part)
        for part in re.split(r"(\s+)", line)
    ]


def table(block: Table, limits: Limits) -> Html:
    """Numbers stand at the right, alike in their decimals. Wide tables scroll inside themselves."""
    width = min(len(block.columns), limits.columns)
    rows = [row[:width] for row in block.rows[: limits.rows]]
    columns = [[row[i] if i < len(row) else None for row in rows] for i in range(width)]
    numeric = [_numeric(cells, first=not i) for i, cells in enumerate(columns)]
    written = [
        column(cells) if is_number and not any(isinstance(cell, str) for cell in cells) else cells
        for cells, is_number in zip(columns, numeric, strict=True)
    ]
    kinds = [
        "num" if is_number else _breadth(cells) for cells, is_number in zip(columns, numeric, strict=True)
    ]
    head = tag(
        "thead",
        tag(
            "tr",
            *(
                tag("th", tag("bdi", name), scope="col", class_=kind)
                for name, kind in zip(block.columns, kinds, strict=False)
            ),
        ),
    )
    body = [
        tag(
            "tr",
            *(
                tag("td", _cell(cells[i], limits), class_=kind)
                for cells, kind in zip(written, kinds, strict=True)
            ),
            class_="marked" if i in block.marked else None,
        )
        for i in range(len(rows))
    ]
    left_out = _left_out((len(block.rows), len(rows), "row"), (len(block.columns), width, "column"))
    head = head if any(block.columns) else Html("")  # a table of pairs needs none
    shown = body if len(body) <= FOLDED else body[:SHOWN]
    whole = _framed(head, shown, block.caption)
    if len(body) > len(shown):
        more = tag("summary", f"{len(body) - SHOWN:,} more rows")
        whole = joined(
            [whole, tag("details", more, _framed(head, body[SHOWN:], f"{block.caption} (more rows)"))]
        )
    return _figure(whole, joined([prose(block.caption), left_out]))


def _framed(head: Html, body: Sequence[Html], caption: str) -> Html:
    """A table in a frame that scrolls, so that the page does not."""
    inside = tag("table", head, tag("tbody", *body))
    return tag(
        "div",
        inside,
        class_="scroll" if head else "scroll pairs",
        tabindex=0,
        role="group",
        aria_label=caption or "table",
    )


def _breadth(cells: Sequence[Any]) -> str | None:
    """A class for columns of text, so that a phone does not set one word a line."""
    longest = max((len(str(cell)) for cell in cells if cell is not None), default=0)
    return "longest" if longest > 48 else "long" if longest > 14 else None


def _cell(value: Any, limits: Limits) -> Html:
    if value is None:
        return tag("span", "–", class_="none", title="missing")
    if isinstance(value, bool):
        return safe("yes" if value else "no")
    return data_text(value, limits.letters)


def _numeric(cells: Sequence[Any], first: bool) -> bool:
    """Is it a column of figures? Names in the first column may be numerals."""
    if first and any(isinstance(cell, str) for cell in cells):
        return False
    known = [cell for cell in cells if cell is not None and cell != ""]
    return bool(known) and all(map(_is_figure, known))


def _is_figure(cell: Any) -> bool:
    if isinstance(cell, str):
        return _NUMERAL.fullmatch(cell.strip()) is not None
    return isinstance(cell, (int, float)) and not isinstance(cell, bool)


def _left_out(*counts: tuple[int, int, str]) -> Html:
    said = [
        f"{there - shown:,} more {what}{'s' * (there - shown != 1)}"
        for there, shown, what in counts
        if there > shown
    ]
    return tag("span", f" … and {' and '.join(said)}, not shown here.", class_="cut") if said else Html("")


def curves(block: Lines, limits: Limits, wide: int = WIDE) -> Html:
    names = [line.name for line in block.lines]
    above = legend(names) if len(names) > 1 else Html("")
    return _figure(
        joined([above, both(lambda width: lines(block, width), wide)]),
        joined([prose(block.caption), _left_out((len(names), min(len(names), SERIES), "curve"))]),
    )


def bar_chart(block: Bars, limits: Limits) -> Html:
    shown = min(len(block.values), MOST_BARS)
    return _figure(
        both(lambda width: bars(block, width)),
        joined([prose(block.caption), _left_out((len(block.values), shown, "bar"))]),
    )


def matrix(block: Matrix, limits: Limits) -> Html:
    small = len(block.columns) <= FEW
    shown = (
        both(lambda width: heat_map(block, width))
        if small
        else tag("div", heat_map(block, WIDE - 30), class_="scroll large", tabindex=0)
    )
    left_out = _left_out((len(block.rows), min(len(block.rows), MOST), "row"))
    return _figure(
        shown, joined([prose(block.caption), tag("span", f" {key(block)}", class_="key"), left_out])
    )


def gallery(block: Gallery, limits: Limits) -> Html:
    items = block.items[: limits.items]
    texts = any(item.pieces or item.texts for item in items)
    shown = tag(
        "ul", *(_item(item, limits) for item in items), class_="gallery texts" if texts else "gallery"
    )
    pictures = sum(item.picture is not None or item.sound is not None for item in items)
    gone = (
        f" {pictures:,} pictures or sounds are left out so that the page stays small."
        if pictures and not limits.side
        else ""
    )
    return _figure(
        shown, joined([prose(block.caption), _left_out((len(block.items), len(items), "row")), gone])
    )


def _item(item: Item, limits: Limits) -> Html:
    """A row as what it is."""
    parts = []
    if item.picture is not None and limits.side and (found := picture(item.picture, limits.side)):
        address, (width, height) = found
        said = clean(", ".join(filter(None, (item.title, *item.lines))))[:200] or "a picture of the data"
        parts.append(
            tag("img", src=address, alt=said, width=width, height=height, class_=_look(width, height))
        )
    if item.sound is not None and limits.side:
        parts.append(tag("audio", controls=True, preload="none", src=_address("audio/wav", item.sound)))
    if item.title:
        parts.append(tag("strong", data_text(item.title, 80)))
    if item.pieces:
        parts.append(tag("p", _pieces(item.pieces, limits.letters * 3), class_="text", dir="auto"))
    for name, words in item.texts:
        label = tag("span", data_text(name, 80), class_="name") if name else Html("")
        parts.append(tag("p", label, _labelled(words, limits.letters * 3), class_="text", dir="auto"))
    parts += [tag("span", data_text(line, limits.letters), class_="fact") for line in item.lines]
    return tag("li", *parts)


def _look(width: int, height: int) -> str | None:
    """A class for pictures that would be too small to see as they are: tiny ones, and strips such as a long
    clip's spectrum."""
    return "pixels" if max(width, height) <= TINY else "strip" if width > STRIP * height else None


def _pieces(pieces: Sequence[tuple[str, float]], most: int) -> Html:
    """Pieces of a text, each shaded by its weight; cut to `most` letters in all."""
    parts, left = [], most
    for said, weight in pieces:
        if left <= 0:
            parts.append(safe(f" … ({sum(len(piece) for piece, _ in pieces):,} letters in all)"))
            break
        shown, left = clean(said)[:left], left - len(said)
        share = min(1.0, abs(weight))
        if share < FAINTEST_MARK:
            parts.append(safe(shown))
        else:
            kind = "for" if weight > 0 else "against"
            parts.append(tag("mark", shown, class_=kind, style=f"--w:{share:.2f}", title=f"{weight:+.2f}"))
    return joined(parts)


def _labelled(parts: Sequence[tuple[str, str, bool]], most: int) -> Html:
    """A text of which some parts have a label, behind them; cut to `most` letters in all."""
    shown, left = [], most
    for said, label, wrong in parts:
        if left <= 0:
            shown.append(safe(f" … ({sum(len(part) for part, _, _ in parts):,} letters in all)"))
            break
        text, left = clean(said)[:left], left - len(said)
        kind = "label wrong" if wrong else "label"
        shown.append(
            tag("mark", text, tag("small", label), class_=kind, title="wrong" if wrong else None)
            if label
            else safe(text)
        )
    return joined(shown)


def picture(png: bytes, side: int) -> tuple[Html, tuple[int, int]] | None:
    """A picture as the page carries it: a data: address, not larger than `side`, JPEG where that is smaller;
    and its width and height. None when it cannot be read."""
    try:
        with PIL.Image.open(io.BytesIO(png)) as found:
            found.load()
            if (
                max(found.size) <= (2 * side if found.width > STRIP * found.height else side)
                and len(png) < SMALL
                and found.format == "PNG"
            ):
                return _address("image/png", png), found.size
            shown = found.convert("RGB" if found.mode not in ("L", "1") else "L")
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        return None
    if shown.width > STRIP * shown.height:
        shown = shown.resize((min(shown.width, 2 * side), min(shown.height, side)))
    else:
        shown.thumbnail((side, side))
    written = {kind: io.BytesIO() for kind in (("png", "jpeg") if len(png) < LARGE else ("jpeg",))}
    for kind, file in written.items():
        shown.save(file, kind, quality=82, optimize=True)
    kind, file = min(written.items(), key=lambda one: len(one[1].getvalue()))
    return _address(f"image/{kind}", file.getvalue()), shown.size


def _address(kind: str, data: bytes) -> Html:
    return Html(f"data:{kind};base64,{base64.b64encode(data).decode()}")


def _figure(shown: Html, caption: Html) -> Html:
    return tag("figure", shown, tag("figcaption", caption) if caption else Html(""))


DRAW: Mapping[type, Callable[[Any, Limits], Html]] = {
    Paragraph: says,
    Code: code,
    Table: table,
    Lines: curves,
    Bars: bar_chart,
    Matrix: matrix,
    Gallery: gallery,
}
