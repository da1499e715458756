"""Blocks as html. What is too much for a page is cut to what people look at, and that is said beside it."""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import PIL.Image

from mapsto.blocks import Bars, Block, Code, Gallery, Item, Lines, Matrix, Paragraph, Table
from mapsto.report.figures import MOST_BARS, SERIES, WIDE, bars, both, legend, lines
from mapsto.report.frame import ROOMY, Limits, captioned, figured, left_out
from mapsto.report.markup import Html, clean, data_text, joined, prose, safe, tag
from mapsto.report.matrix import FEW, MOST, heat_map, key
from mapsto.report.rows import as_table
from mapsto.report.tables import table

FAINTEST_MARK = 0.04  # of a piece of text; fainter weights are not marked
STRIP = 4  # times as wide as high
TEXTS, PICTURES = 6, 18  # cards of a gallery that stand open, the others on demand
TINY = 64  # pixels a side: shown as the squares they are
SMALL, LARGE = 16_000, 60_000  # bytes of a PNG that is carried as it is, and of one that is surely a photo


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


def curves(block: Lines, limits: Limits, wide: int = WIDE) -> Html:
    names = [line.name for line in block.lines]
    above = legend(names) if len(names) > 1 else Html("")
    return figured(
        joined([above, both(lambda width: lines(block, width), wide)]),
        joined([captioned(block.caption), left_out((len(names), min(len(names), SERIES), "curve"))]),
    )


def bar_chart(block: Bars, limits: Limits) -> Html:
    shown = min(len(block.values), MOST_BARS)
    return figured(
        both(lambda width: bars(block, width)),
        joined([captioned(block.caption), left_out((len(block.values), shown, "bar"))]),
    )


def matrix(block: Matrix, limits: Limits) -> Html:
    small = len(block.columns) <= FEW
    shown = (
        both(lambda width: heat_map(block, width))
        if small
        else tag("div", heat_map(block, WIDE - 30), class_="scroll large", tabindex=0)
    )
    missing = left_out((len(block.rows), min(len(block.rows), MOST), "row"))
    return figured(
        shown, joined([captioned(block.caption), tag("span", f" {key(block)}", class_="key"), missing])
    )


def gallery(block: Gallery, limits: Limits) -> Html:
    if (rows := as_table(block)) is not None:
        return table(rows, limits)
    items = block.items[: limits.items]
    texts = any(item.pieces or item.texts for item in items)
    most = TEXTS if texts else PICTURES
    kind = "gallery texts" if texts else "gallery"
    cards = [_item(item, limits) for item in items]
    shown = tag("ul", *cards[:most], class_=kind)
    if len(cards) > most:
        more = tag("summary", f"{len(cards) - most:,} more rows")
        shown = joined([shown, tag("details", more, tag("ul", *cards[most:], class_=kind))])
    pictures = sum(item.picture is not None or item.sound is not None for item in items)
    gone = (
        f" {pictures:,} pictures or sounds are left out so that the page stays small."
        if pictures and not limits.side
        else ""
    )
    return figured(
        shown, joined([captioned(block.caption), left_out((len(block.items), len(items), "row")), gone])
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
    facts = [
        tag("span", data_text(line, limits.letters), class_="fact unusual" if n in item.marked else "fact")
        for n, line in enumerate(item.lines)
    ]
    parts += (
        [tag("p", joined(facts, " "), class_="facts")] if facts and (item.pieces or item.texts) else facts
    )
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


DRAW: Mapping[type, Callable[[Any, Limits], Html]] = {
    Paragraph: says,
    Code: code,
    Table: table,
    Lines: curves,
    Bars: bar_chart,
    Matrix: matrix,
    Gallery: gallery,
}
