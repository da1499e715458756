"""Of which kind the cells of a column of names were, whole numbers, numbers or truth values, so that answers
are of it again: names are told apart as text. No torch here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

MISSING, OTHER, FIRST = (
    0,
    1,
    2,
)  # codes of an input's classes: new ones append at the end, so these come first
WHOLE = re.compile(r"([+-]?(?:0|[1-9]\d*))(?:\.0+)?")
TRUTHS = {"true": True, "false": False}
_DIGITS = {"1": "true", "0": "false", "true": "1", "false": "0"}  # how others write the same truth


def kind_of(cells: Iterable[Any], untyped: bool = False) -> str:
    """Of cells that are not missing: "int", "float", "bool", or "" for text. untyped: their file knows
    nothing but text, which then is of a kind where each cell would be written as it stands: 007 and 1.50
    are names."""
    kinds: set[str] = set()
    texts: set[str] = set()
    for cell in cells:
        if isinstance(cell, str):
            texts.add(cell.strip())
        elif isinstance(cell, (bool, np.bool_)):
            kinds.add("bool")
        elif isinstance(cell, (int, np.integer)):
            kinds.add("int")
        elif isinstance(cell, (float, np.floating)):
            kinds.add("float")
        else:
            return ""
    if texts and not untyped:
        return ""
    if texts:
        kinds.add(next((kind for kind in _MADE if all(_is_written(text, kind) for text in texts)), ""))
    if kinds == {"int", "float"}:
        return "float"
    return next(iter(kinds)) if len(kinds) == 1 else ""


def typed(names: Sequence[str], kind: str) -> tuple[Any, ...]:
    """Names as values of a kind; as they are where one is none of it, as of classes that came later."""
    try:
        return tuple(map(_MADE[kind], names)) if kind else tuple(names)
    except (ValueError, KeyError):
        return tuple(names)


def same_name(name: str, known: Mapping[str, Any]) -> str:
    """The one of `known` names that this one is, written otherwise: 1.0 is 1, and of truth values 1 is true.
    As it is where none is."""
    if name in known:
        return name
    plain = found[1] if (found := WHOLE.fullmatch(name)) else name
    if plain in known:
        return plain
    meant = (plain.lower(), _DIGITS.get(plain.lower()))
    if meant[1] is None or len(known) > 2:
        return name
    lower = {one.lower(): one for one in known}
    for names in (TRUTHS, ("0", "1")):  # nothing but these two: else 1 may be another class
        if lower.keys() <= set(names):
            return next((lower[one] for one in meant if one in lower), name)
    return name


def _truth(text: str) -> bool:
    return TRUTHS[text.lower()]


def _number(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(text)
    return found


_MADE: dict[str, Callable[[str], Any]] = {"int": int, "float": _number, "bool": _truth}


def _is_written(text: str, kind: str) -> bool:
    try:
        return str(_MADE[kind](text)) == text
    except (ValueError, KeyError):
        return False
