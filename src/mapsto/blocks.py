"""What a page is made of: a few kinds of blocks that say what was found, and know nothing of how it is drawn.

Assessments, the doctor and comparisons give `Section`s; `report/` draws them as html, the command line as
text. Everything is plain values and turns into JSON and back, so a page can be drawn again when the data is
gone. A block that shows rows of the data is `private`: it is left out where samples may not be shown.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Number = float | int | None


@dataclass(frozen=True)
class Paragraph:
    """A sentence or two for people."""

    text: str
    private: bool = False


@dataclass(frozen=True)
class Code:
    """Lines to be copied as they stand. language: sh, python or json."""

    text: str
    language: str = "sh"
    private: bool = False


@dataclass(frozen=True)
class Table:
    """rows of cells (text, numbers, None), one per column name. marked: numbers of rows to be set off, such
    as the worst; unusual: (row, column) of single cells to be set off."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""
    marked: tuple[int, ...] = ()
    private: bool = False
    unusual: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Line:
    """One curve: equally long x and y; low and high, where given, are a band around it. points: draw the
    places measured. joined False: a cloud of dots, a row each."""

    name: str
    x: tuple[Number, ...]
    y: tuple[Number, ...]
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()
    points: bool = False
    joined: bool = True


@dataclass(frozen=True)
class Lines:
    """Curves over a common axis. log_x: logarithmic. diagonal: draw y = x on equal axes, as in a
    reliability diagram.
    marks: places on the x axis with what is there, such as (160, "best")."""

    lines: tuple[Line, ...]
    x: str
    y: str
    caption: str = ""
    log_x: bool = False
    diagonal: bool = False
    private: bool = False
    marks: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Bars:
    """One bar a label; low and high, where given, are an interval around each. marked: numbers of bars to be
    set off from the others."""

    labels: tuple[str, ...]
    values: tuple[Number, ...]
    x: str
    caption: str = ""
    low: tuple[Number, ...] = ()
    high: tuple[Number, ...] = ()
    private: bool = False
    marked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Matrix:
    """values[i][j] for row label i and column label j: a confusion matrix has the true class in the rows."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[Number, ...], ...]
    row_title: str = ""
    column_title: str = ""
    caption: str = ""
    private: bool = False


@dataclass(frozen=True)
class Item:
    """A row as what it is: a picture (png), a sound to listen to (wav), pieces of text each with a weight
    from -1 to 1 (0: not marked), or several of these; with what is said of it. lines: short facts below it,
    such as "true: cat" and "said: dog (.93)". texts: texts with their names, each in parts (text, its label
    or "", is the label wrong?), such as a name found in a sentence and of what kind it is. marked: numbers of
    lines to be set off, as what is unusual in the row.
    """

    title: str = ""
    picture: bytes | None = None
    pieces: tuple[tuple[str, float], ...] = ()
    lines: tuple[str, ...] = ()
    sound: bytes | None = None
    texts: tuple[tuple[str, tuple[tuple[str, str, bool], ...]], ...] = ()
    marked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Gallery:
    """Rows of the data shown as what they are."""

    items: tuple[Item, ...]
    caption: str = ""
    private: bool = True


Block = Paragraph | Code | Table | Lines | Bars | Matrix | Gallery
KINDS: Mapping[str, type] = {
    kind.__name__: kind for kind in (Paragraph, Code, Table, Lines, Bars, Matrix, Gallery)
}
PARTS: Mapping[tuple[str, str], type] = {("Lines", "lines"): Line, ("Gallery", "items"): Item}


@dataclass(frozen=True)
class Section:
    """What one question found. name: the file that asked; title: the question in words; headline: the answer
    in one sentence; figures: the numbers behind it by name, for programs; blocks: what is shown; sign: "good"
    where all is well, "look" where something is worth a look, "" where neither can be said."""

    name: str
    title: str
    headline: str
    blocks: tuple[Block, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    sign: str = ""

    def public(self) -> Section:
        """Without the blocks that show rows of the data."""
        return dataclasses.replace(self, blocks=tuple(block for block in self.blocks if not block.private))

    def to_json(self) -> dict[str, Any]:
        """JSON knows no number that is none: null stands for it."""
        return {
            **{k: _plain(v) for k, v in vars(self).items() if k != "blocks"},
            "blocks": [block_to_json(block) for block in self.blocks],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Section:
        return cls(**{**record, "blocks": tuple(block_from_json(block) for block in record["blocks"])})


def block_to_json(block: Block) -> dict[str, Any]:
    return {"kind": type(block).__name__, **_plain(dataclasses.asdict(block))}


def block_from_json(record: Mapping[str, Any]) -> Block:
    """The inverse of `block_to_json`."""
    kind = record["kind"]
    values = {name: _back(value) for name, value in record.items() if name != "kind"}
    for (owner, name), part in PARTS.items():
        if owner == kind:
            values[name] = tuple(part(**{k: _back(v) for k, v in one.items()}) for one in record[name])
    return KINDS[kind](**values)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _back(value: Any) -> Any:
    if isinstance(value, Mapping):
        return (
            base64.b64decode(value["base64"])
            if set(value) == {"base64"}
            else {name: _back(item) for name, item in value.items()}
        )
    return tuple(map(_back, value)) if isinstance(value, (list, tuple)) else value
