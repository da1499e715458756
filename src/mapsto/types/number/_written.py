"""How a whole column writes its numbers, and whether they are numbers at all: decided once over its cells,
for a cell alone can be read in two ways. No torch here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from mapsto.cells import Column, Pointed, is_missing
from mapsto.types.number.numerals import GROUP, GROUPS, without_signs

EXACT = 1 << 53  # whole numbers beyond which floats no longer tell neighbours apart
MANY = 30  # cells of three decimals, none of which ends in 0: by chance less than one column in twenty
_APART = "\x1f"
_POINTED = re.compile(rf"(?:^|{_APART})\s*[-+]?[1-9]\d{{0,2}}\.\d{{3}}(?=\s*(?:{_APART}|$))")
_CODE = re.compile(r"\s*(?:0\d+|\+\d{7,}|(\d{16,})|(\d+[eE]\d+))\s*")
_LIST = re.compile(r"\s*\d+\s*(?:,\s*\d+\s*){2,}")
# columns whose digits count nothing
_NAMED = re.compile(
    r"(?:^|[^a-z])(?:zip|zip[ _-]?codes?|postal|postal[ _-]?codes?|post[ _-]?codes?|plz|phone"
    r"|phone[ _-]?numbers?|telephone|fax|isbn|ean|upc|gtin|fips|version)(?:$|[^a-z])",
    re.IGNORECASE,
)


def decimal_of(cells: Sequence[Any]) -> tuple[str, str]:
    """The decimal mark of a column's texts, and again where that is in doubt ("" else): cells like '1,669'
    can be read with either. A mark that stands where thousands have none decides; so do whole numbers below a
    thousand beside '1.070', which no decimals are written like."""
    texts = {cell for cell in cells if type(cell) is str}
    whole = _APART.join(texts)
    pointed = _POINTED.search(whole) is not None
    if "," not in whole and not pointed:
        return ".", "," if any(type(cell) is Pointed for cell in cells) else ""
    clear = {".": 0, ",": 0}
    doubt: dict[str, list[str]] = {".": [], ",": []}
    bare: list[str] = []
    for text in texts:
        plain = without_signs(text.strip())[1]
        commas, points = plain.count(","), plain.count(".")
        if commas and points:
            clear[max(".,", key=plain.rfind)] += 1
        elif GROUP.fullmatch(plain):
            doubt["," if commas else "."].append(plain)
        elif commas or points:
            several = commas + points > 1
            if several and not GROUPS.fullmatch(plain):
                continue  # no number
            clear["," if bool(commas) != several else "."] += 1
        elif plain.isdecimal():
            bare.append(plain)
    return _decided(clear, doubt, bare)


def _decided(clear: dict[str, int], doubt: dict[str, list[str]], bare: list[str]) -> tuple[str, str]:
    if any(clear.values()):
        mark = max(".,", key=lambda one: clear[one])
        return mark, mark if mark == "," and (doubt[","] or doubt["."]) else ""
    if doubt[","]:
        return ".", "" if doubt["."] else "."
    small = bool(bare) and all(len(text) <= 3 for text in bare)
    grouped = small and (any(text.endswith("0") for text in doubt["."]) or len(doubt["."]) >= MANY)
    mark = "," if grouped else "."
    return mark, mark if small else ""


def perhaps_vast(cells: Sequence[Any]) -> list[Any]:
    """Cells that may hold numbers of 38 digits or more: the others are not read for it."""
    kinds = (int, float, np.number)
    numbers = [cell for cell in cells if isinstance(cell, kinds) and not -1e37 < cell < 1e37]
    texts = {
        cell for cell in cells if isinstance(cell, str) and (len(cell) > 37 or "e" in cell or "E" in cell)
    }
    return [*numbers, *texts]


def said_decimal(name: str, mark: str) -> str:
    """How the texts of a column are read that could be read otherwise, and the flag for it; "" where none."""
    if not mark:
        return ""
    if mark == ",":
        told, other = "a decimal comma: 1,234 is 1.234, and 1.234 is 1234", "."
    else:
        told, other = "a decimal point: 1,234 is 1234, and 1.234 stays", ","
    return f"'{name}' is read with {told}; else {name}:number(decimal='{other}')"


def are_codes(column: Column) -> bool:
    """Are a column's numerals names rather than numbers: '007', '+4930123456', '1e5' among '471', ids that
    floats would merge, postal codes?"""
    texts = {cell for cell in column.known if isinstance(cell, str)}
    bare = False
    for text in texts:
        found = _CODE.fullmatch(text)
        if found is None:
            continue
        if found[2] is None and (found[1] is None or not _is_exact(int(found[1]))):
            return True
        bare = bare or found[2] is not None
    if (
        bare
        and len({len(text.strip()) for text in texts}) == 1
        and any(text.strip().isdecimal() for text in texts)
    ):
        return True
    if any(_LIST.fullmatch(text) and not GROUPS.fullmatch(text.strip()) for text in texts):
        return True
    numbers = [cell for cell in column.known if isinstance(cell, (int, np.integer))]
    if any(abs(int(cell)) > EXACT and not _is_exact(int(cell)) for cell in numbers):
        return True
    return bool(_NAMED.search(column.name)) and (
        "version" in column.name.lower() or len(numbers) + sum(t.strip().isdecimal() for t in texts) > 0
    )


def _is_exact(number: int) -> bool:
    return int(float(number)) == number


def floats_of(cells: Any) -> np.ndarray | None:
    """A column as float64 by Python's own float(), words for "nothing" as nan; None where it does not read
    all."""
    if isinstance(cells, np.ma.MaskedArray):
        cells = cells.tolist()  # None where masked
    try:
        return np.array(cells, np.float64).reshape(len(cells))
    except (ValueError, TypeError, OverflowError):
        pass
    try:  # again with the words for "nothing" taken out
        return np.array(
            [None if type(cell) is str and is_missing(cell) else cell for cell in cells], np.float64
        ).reshape(len(cells))
    except (ValueError, TypeError, OverflowError):
        return None
