"""Several things in one text: lists as JSON and Python print them, and what stands between their items. No
torch here."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

MARKS = (";", "|", ",")
PAIRS = {"[": "]", "{": "}", "(": ")"}
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_ESCAPED = re.compile(r"\\(.)")


def is_list(text: str) -> bool:
    """Does it stand in brackets?"""
    text = text.strip()
    return len(text) > 1 and PAIRS.get(text[0]) == text[-1]


def inside(text: str) -> str:
    """What stands in the brackets."""
    return text.strip()[1:-1].strip()


def items_of(text: str) -> list[Any] | None:
    """The items of a list of JSON, or of quoted texts in brackets: ['a', 'b'], {"a", "b"}; None of others."""
    if not is_list(text):
        return None
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            return None if any(isinstance(item, (list, dict)) for item in found) else found
    items = [first or second for first, second in _QUOTED.findall(inside(text))]
    if not items or _QUOTED.sub("", inside(text)).strip(" ,;|\t\n"):
        return None
    return [_ESCAPED.sub(r"\1", item) for item in items]


def mark_of(texts: Sequence[str], brackets: bool = False) -> str:
    """What stands between the items of a column's texts: of ; | and , (in brackets a blank, too) the one
    that leaves the fewest different ones; "" where none occurs."""
    marks = [mark for mark in (*MARKS, " ")[: 4 if brackets else 3] if any(mark in text for text in texts)]
    if len(marks) < 2:
        return "".join(marks)
    return min(marks, key=lambda mark: len({piece.strip() for text in texts for piece in text.split(mark)}))
