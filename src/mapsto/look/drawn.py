"""A look as lines for a terminal; pictures as half blocks in 24-bit colour, or as letters from dark to
bright."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import PIL.Image

from mapsto.errors import printable
from mapsto.look import COLUMNS, Cell, Looked
from mapsto.report.text import aligned
from mapsto.terminal.words import short

SIDE = 24  # columns of a picture
RAMP = " .:-=+*#%@"  # dark to bright
GAP = "  "


def can_draw() -> str:
    """What the terminal shows pictures in: "colour", "letters", or "" where nobody looks at it."""
    if not sys.stdout.isatty():
        return ""
    return "colour" if os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit") else "letters"


def lines_of(looked: Looked, draw: str) -> list[str]:
    """Everything, stage by stage. draw: as `can_draw` says."""
    more = f"the first {looked.rows_read:,} rows" if looked.more else f"{looked.rows_read:,} rows"
    of = f", of which {looked.sampled:,} are looked at" if looked.sampled < looked.rows_read else ""
    lines = [
        printable(f"{looked.name}: {more}{of}"),
        printable(f"  {short(looked.signature)}"),
        *(printable(f"  {sentence}") for sentence in looked.said),
    ]
    hidden = f" (the first {COLUMNS} of {looked.inputs:,} inputs)" if looked.inputs > COLUMNS else ""
    lines += ["", f"columns{hidden}", *map(printable, _columns(looked.columns))]
    for where, part, cells in looked.rows:
        lines += [
            "",
            f"{printable(where)} ({part}): as it stands, as it is read, as it is stored",
            *map(printable, _cells(cells)),
            *_pictures(cells, draw),
        ]
    lines += ["", "a training batch", *_batch(looked)]
    for name, views in looked.views.items():
        lines += (
            _beside([picture_lines(view, draw) for view in views], f"  {name}, augmented:") if draw else []
        )
    lines += ["", f"the net: {looked.model}; {looked.weights:,} weights"]
    lines += aligned(
        [
            (name, text)
            for name, text in [
                *looked.stems.items(),
                *((f"-> {name}", text) for name, text in looked.outputs.items()),
            ]
        ]
    )
    return lines


def _columns(columns: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ("", "column", "type", "why", "missing", "learned from training rows")
    rows = [
        ("in" if c["side"] == "input" else "out", c["name"], c["type"], c["why"], c["missing"], c["learned"])
        for c in columns
    ]
    return aligned([head, *rows])


def _cells(cells: Sequence[Cell]) -> list[str]:
    return aligned(
        [
            (c.column, c.raw, *((c.read, c.encoded) if not c.problem else ("cannot be read", c.problem)))
            for c in cells
        ]
    )


def _batch(looked: Looked) -> list[str]:
    rows = []
    for side, fields in looked.batch.items():
        for name, text in fields.items():
            changed = looked.augmented.get(name, "") if side == "inputs" else ""
            rows.append(
                (
                    name if side == "inputs" else f"-> {name}",
                    text,
                    f"augmentation: {changed}" if changed else "",
                )
            )
    return aligned(rows)


def _pictures(cells: Sequence[Cell], draw: str) -> list[str]:
    if not draw:
        return []
    drawn = [picture_lines(_pixels(cell.picture), draw) for cell in cells if cell.picture]
    return _beside(drawn, "") if drawn else []


def _pixels(png: bytes) -> np.ndarray:
    """A PNG -> (H, W, 1 or 3) of 0 to 1."""
    with PIL.Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("L" if picture.mode in ("L", "1") else "RGB"), np.float32) / 255
    return pixels[..., None] if pixels.ndim == 2 else pixels


def picture_lines(pixels: np.ndarray, draw: str) -> list[str]:
    """(H, W, 1 or 3) of 0 to 1 -> lines: two pixels a character, one above the other; or one letter for
    both."""
    height, width = pixels.shape[:2]
    columns = min(SIDE, width)
    rows = max(1, round(columns * height / width / 2))
    small = _resized(pixels, 2 * rows, columns)
    if draw == "letters":
        grey = small.mean(2).reshape(rows, 2, columns).mean(1)
        return ["".join(RAMP[min(len(RAMP) - 1, int(value * len(RAMP)))] for value in row) for row in grey]
    bytes_ = (255 * np.broadcast_to(small, (*small.shape[:2], 3))).round().astype(int)
    return [
        "".join(
            f"\x1b[38;2;{r};{g};{b}m\x1b[48;2;{u};{v};{w}m▀"
            for (r, g, b), (u, v, w) in zip(above, below, strict=True)
        )
        + "\x1b[0m"
        for above, below in zip(bytes_[::2], bytes_[1::2], strict=True)
    ]


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, C) -> (height, width, C)."""
    planes = [
        PIL.Image.fromarray(plane).resize((width, height), PIL.Image.Resampling.BOX)
        for plane in np.moveaxis(pixels.astype(np.float32), 2, 0)
    ]
    return np.stack([np.asarray(plane) for plane in planes], 2).clip(0, 1)


def _beside(pictures: Sequence[Sequence[str]], title: str) -> list[str]:
    """Pictures next to each other."""
    blank = " " * SIDE
    rows = [
        GAP + GAP.join(part if part is not None else blank for part in row) for row in zip_longest(*pictures)
    ]
    return [title, *rows] if title else rows
