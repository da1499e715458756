"""What stands around a block: its caption, what was left out of it, and how much of it a page shows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mapsto.report.markup import Html, prose, tag


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


def left_out(*counts: tuple[int, int, str]) -> Html:
    said = [
        f"{there - shown:,} more {what}{'s' * (there - shown != 1)}"
        for there, shown, what in counts
        if there > shown
    ]
    return tag("span", f" … and {' and '.join(said)}, not shown here.", class_="cut") if said else Html("")


def captioned(text: str) -> Html:
    """A caption begins with a capital, unless with a name: "income: the net …"."""
    named = re.match(r"[^\s:]+: |`", text)
    return prose(text if named else text[:1].upper() + text[1:])


def figured(shown: Html, caption: Html) -> Html:
    return tag("figure", shown, tag("figcaption", caption) if caption else Html(""))
