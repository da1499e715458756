"""Numerals: what people write for numbers, dates and times, read as floats. No torch here.

Thousands marks, decimal commas, currency signs, percent, accountants' parentheses; ISO, slashed, dotted and
named dates, clock times.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from mapsto.cells import is_missing, shorten
from mapsto.errors import CellError
from mapsto.types.number._zones import parted

EPOCH = datetime(1970, 1, 1)
DAY = 86400.0
MONTHS = {
    name: k + 1
    for k, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
    )
}
_AROUND = re.compile(r"^(?:[$€£¥₹]|USD|EUR|GBP|CHF|JPY)\s*|\s*(?:[$€£¥₹%]|USD|EUR|GBP|CHF|JPY)$")
_DIGIT = re.compile(r"\d")
GROUP = re.compile(r"[1-9]\d{0,2}[.,]\d{3}")  # thousands, or three decimals
GROUPS = re.compile(r"\d{1,3}(?:,\d{2,3})*(?:,\d{3})+(?:[eE][+-]?\d+)?|\d{1,3}(?:\.\d{3})+(?:[eE][+-]?\d+)?")
_CLOCK = r"(?:[T ,]+(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?\s*([AaPp]\.?[Mm]\.?)?)?"
_SLASHED = re.compile(r"(\d{1,2})([/.\-])(\d{1,2})\2(\d{4}|\d{2})" + _CLOCK + "$")  # 01/02/2011, 1.2.11 10:00
_NAMED = re.compile(
    r"(?:[A-Za-z]{3,9},?\s+)?(?:(\d{1,2})[ \-.]+([A-Za-z]{3,9})|([A-Za-z]{3,9})\.? (\d{1,2})),?[ \-.]+(\d{4})"
    + _CLOCK
    + "$"
)
_ISO = re.compile(r"\d{4}[-/.]\d{1,2}(?:[-/.]\d{1,2})?(?:[T ].*)?$")
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?$")
_HALVES = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?\s*[AaPp]\.?[Mm]\.?$")  # 6:30 PM


class Moment(float):
    """Seconds since 1970 read from a date; `swapped` is its other reading when day and month could change
    places."""

    swapped: float | None = None
    day_first: bool | None = None  # what the text itself says: None when it could be either
    zone: float | None = None  # of the zone it is told in: seconds before UTC


def number_of(cell: Any, decimal: str = ".", day_first: bool = False) -> float | None:
    """One cell as float or `Moment`, a duration in seconds; None when missing. Raises CellError."""
    if isinstance(cell, np.ndarray) and cell.size == 1:
        cell = cell.reshape(())[()]
    if isinstance(cell, np.datetime64):
        return None if np.isnat(cell) else Moment(seconds_of(np.array([cell]))[0])
    if isinstance(cell, np.timedelta64):
        return None if np.isnat(cell) else float(cell / np.timedelta64(1, "s"))
    if is_missing(cell):
        return None
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    if isinstance(cell, str):
        return _from_text(cell.strip(), decimal, day_first)
    if isinstance(cell, datetime):
        offset = cell.utcoffset()
        told = Moment((cell.replace(tzinfo=None) - EPOCH).total_seconds())
        return told if offset is None else _in_utc(told, offset.total_seconds())
    if isinstance(cell, date):
        return Moment((cell - EPOCH.date()).days * DAY)
    if isinstance(cell, time):
        return Moment((datetime.combine(EPOCH, cell.replace(tzinfo=None)) - EPOCH).total_seconds())
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError) as problem:
        raise CellError(
            f"expected a number or a date, got {type(cell).__name__} {shorten(cell)}.\nGive a number."
        ) from problem
    return None if math.isnan(value) else _finite(value, cell)


def _finite(value: float, cell: Any) -> float:
    if math.isinf(value):
        raise CellError(infinite(cell))
    return value


def infinite(cell: Any) -> str:
    return f"expected a finite number, got {shorten(cell)}.\nLeave the cell empty if the value is not known."


def _from_text(text: str, decimal: str, day_first: bool) -> float:
    if decimal == "." or ("." not in text and "," not in text):
        try:
            return _finite(plain_float(text), text)
        except ValueError:
            pass
    if not _DIGIT.search(text):  # prose: neither
        raise CellError(
            f"expected a number or a date, got {shorten(text)}.\nCorrect or empty the cell, or say"
            " ':category' for the column."
        )
    moment = _moment(text, day_first)
    if moment is not None:
        return moment
    sign, bare = without_signs(text)
    plain = with_point(bare, decimal)
    try:
        return _finite(plain_float(sign + plain), text)
    except ValueError:
        raise CellError(
            f"expected a number or a date, got {shorten(text)}.\nCorrect or empty the cell, or say"
            " ':category' for the column."
        ) from None


def plain_float(text: str) -> float:
    """As Python reads it, but for its '_' between digits, with which people write codes. ValueError: no
    number."""
    if "_" in text:
        raise ValueError(text)
    return float(text)


def without_signs(text: str) -> tuple[str, str]:
    """(sign, the rest): no currency, no percent, no accountants' parentheses, no blanks between digits."""
    plain = text.replace("−", "-")
    negative = plain.startswith("(") and plain.endswith(")")  # as accountants write
    sign, plain = (
        ("-", plain[1:-1]) if negative else (plain[:1], plain[1:]) if plain[:1] in ("-", "+") else ("", plain)
    )
    bare = _AROUND.sub("", _AROUND.sub("", plain.strip()))
    return sign, re.sub(r"(?<=\d)[ \u00a0\u202f'’](?=\d{3})", "", bare)


def with_point(plain: str, decimal: str) -> str:
    """Digits with marks between them -> with a decimal point, and no other mark; as they are where marks do
    not stand as they do in numbers: '1,4,7' is none."""
    commas, points = plain.count(","), plain.count(".")
    if commas and points:
        decimal = max(".,", key=plain.rfind)  # the last mark divides
    elif commas == 1 and decimal == "." and not GROUP.fullmatch(plain):
        decimal = ","  # '3,5': no thousands
    elif points == 1 and decimal == "," and not GROUP.fullmatch(plain):
        decimal = "."
    whole, mark, rest = plain.partition(decimal)
    group = "," if decimal == "." else "."
    if group in whole:
        if not GROUPS.fullmatch(whole):
            return plain
        whole = whole.replace(group, "")
    return f"{whole}.{rest}" if mark else whole


def _moment(text: str, day_first: bool) -> Moment | None:
    """Text as a date or time, or None when it is neither. One told in a zone is that instant in UTC."""
    text, offset = parted(text)
    told = _told(text, day_first)
    return told if told is None or offset is None else _in_utc(told, offset)


def _in_utc(told: Moment, offset: float) -> Moment:
    """A moment of a zone that is so many seconds before UTC."""
    moment = Moment(told - offset)
    moment.swapped = None if told.swapped is None else told.swapped - offset
    moment.day_first, moment.zone = told.day_first, offset
    return moment


def _told(text: str, day_first: bool) -> Moment | None:
    if _TIME.match(text):
        text = f"1970-01-01 {text.zfill(5) if text.count(':') == 1 else text.zfill(8)}"
    if _HALVES.match(text):
        text = f"1/1/1970 {text}"
    if _ISO.match(text):
        day, _, clock = text.replace("T", " ").partition(" ")
        parts = re.split(r"[-/.]", day)
        if len(parts) == 2 and ("." in day or clock or not 1600 <= int(parts[0]) <= 2200):
            return None  # 2011.5 is a number, 1001-10 a code
        day = "-".join(part.zfill(2) for part in (*parts, "01")[:3])
        try:
            found = datetime.fromisoformat(f"{day} {clock.strip()}".strip())
        except ValueError:
            return None
        return Moment((found - EPOCH).total_seconds()) if found.tzinfo is None else None
    if slashed := _SLASHED.match(text):
        first, mark, second, year, *clock = slashed.groups()
        readings = [_dated(year, month, day, clock) for month, day in ((first, second), (second, first))]
        if mark == ".":  # 1.2.2011 is written where the day comes first
            readings[0] = None
        american, other = readings
        if american is None or other is None:
            return _marked(american if other is None else other, None, other is not None)
        return _marked(other, american, None) if day_first else _marked(american, other, None)
    if named := _NAMED.match(text):
        day, month, month_too, day_too, year, *clock = named.groups()
        number = MONTHS.get((month or month_too)[:3].lower())
        return _marked(_dated(year, number, day or day_too, clock), None, None) if number else None
    return None


def _marked(seconds: float | None, swapped: float | None, day_first: bool | None) -> Moment | None:
    if seconds is None:
        return None
    moment = Moment(seconds)
    moment.swapped, moment.day_first = swapped, day_first
    return moment


def _dated(year: Any, month: Any, day: Any, clock: Sequence[str | None]) -> float | None:
    hour, minute, second, half = clock
    full = int(year) + (0 if len(year) == 4 else 2000 if int(year) < 70 else 1900)
    hours = int(hour or 0) % 12 + (12 if half[0] in "pP" else 0) if half else int(hour or 0)
    try:
        return (
            datetime(full, int(month), int(day), hours, int(minute or 0)) - EPOCH
        ).total_seconds() + float(second or 0)
    except ValueError:
        return None


def seconds_of(array: np.ndarray) -> np.ndarray:
    """datetime64 -> seconds since 1970, NaN for NaT."""
    return np.where(np.isnat(array), np.nan, array.astype("datetime64[us]").astype(np.int64) / 1e6)


def iso(seconds: float) -> str:
    try:
        found = datetime.fromtimestamp(round(seconds), UTC).replace(tzinfo=None)
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s"
    return found.isoformat(" ") if seconds % DAY else found.date().isoformat()


def _value_or_none(cell: Any) -> float | None:
    if not isinstance(
        cell, (str, Real, Decimal, date, time, timedelta, np.generic)
    ):  # a picture's str() takes long
        return None
    try:
        return number_of(cell)
    except CellError:
        return None


def values_of(cells: Sequence[Any]) -> Sequence[float | None]:
    """Each known cell as number or `Moment`, None where it is neither; quick where Python's own float() reads
    them all, and where few texts repeat."""
    try:
        found = (
            np.array(cells, np.float64)
            if len(cells) and isinstance(cells[0], (str, Real))
            else np.empty((0, 0))
        )
        if found.ndim == 1 and np.isfinite(found).all() and not underscored(cells):
            return found.tolist()  # type: ignore[return-value]
    except (ValueError, TypeError, OverflowError):
        pass
    texts = {cell: _value_or_none(cell) for cell in {cell for cell in cells if type(cell) is str}}
    return [texts[cell] if type(cell) is str else _value_or_none(cell) for cell in cells]


def underscored(cells: Sequence[Any]) -> bool:
    """Is there a text with '_', which Python takes for a mark between thousands?"""
    return any("_" in cell for cell in cells if type(cell) is str)


def brief(value: float) -> str:
    """A number with about four digits, as people write it: 0.01234, 12.3, 123,457."""
    return "0" if abs(value) < 1e-12 else f"{value:,.0f}" if 1e3 <= abs(value) < 1e12 else f"{value:.4g}"
