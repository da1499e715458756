"""Numerals: what people write for numbers, dates and times, read as floats. No torch here.

Thousands marks, decimal commas, currency signs, percent, accountants' parentheses; ISO, slashed, dotted and
named dates, clock times.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from mapsto.cells import is_missing, shorten
from mapsto.errors import CellError

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
_CLOCK = r"(?:[T ,]+(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d+)?))?\s*([AaPp]\.?[Mm]\.?)?)?"
_SLASHED = re.compile(r"(\d{1,2})([/.\-])(\d{1,2})\2(\d{4}|\d{2})" + _CLOCK + "$")  # 01/02/2011, 1.2.11 10:00
_NAMED = re.compile(
    r"(?:[A-Za-z]{3,9},?\s+)?(?:(\d{1,2})[ \-.]+([A-Za-z]{3,9})|([A-Za-z]{3,9})\.? (\d{1,2})),?[ \-.]+(\d{4})"
    + _CLOCK
    + "$"
)
_ISO = re.compile(r"\d{4}[-/.]\d{1,2}(?:[-/.]\d{1,2})?(?:[T ].*)?$")
_TIME = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?$")


class Moment(float):
    """Seconds since 1970 read from a date; `swapped` is its other reading when day and month could change
    places."""

    swapped: float | None = None
    day_first: bool | None = None  # what the text itself says: None when it could be either


def number_of(cell: Any, decimal: str = ".", day_first: bool = False) -> float | None:
    """One cell as float or `Moment`; None when missing. Raises CellError."""
    if isinstance(cell, np.ndarray) and cell.size == 1:
        cell = cell.reshape(())[()]
    if isinstance(cell, np.datetime64):
        return None if np.isnat(cell) else Moment(seconds_of(np.array([cell]))[0])
    if is_missing(cell):
        return None
    if isinstance(cell, str):
        return _from_text(cell.strip(), decimal, day_first)
    if isinstance(cell, datetime):
        return Moment((cell.replace(tzinfo=None) - EPOCH).total_seconds())
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
    if decimal == ".":
        try:
            return _finite(float(text), text)
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
    plain = text.replace("−", "-")
    negative = plain.startswith("(") and plain.endswith(")")  # as accountants write
    sign, plain = (
        ("-", plain[1:-1]) if negative else (plain[:1], plain[1:]) if plain[:1] in ("-", "+") else ("", plain)
    )
    plain = re.sub(r"(?<=\d)[ \u00a0\u202f'’](?=\d{3})", "", _AROUND.sub("", _AROUND.sub("", plain.strip())))
    if "," in plain and "." in plain:
        decimal = max(".,", key=plain.rfind)  # the last mark divides
    elif decimal == "." and plain.count(",") == 1 and not re.fullmatch(r"[-+]?[1-9]\d{0,2},\d{3}", plain):
        decimal = ","  # '3,5': no thousands
    plain = plain.replace("," if decimal == "." else ".", "").replace(",", ".")
    try:
        return _finite(float(sign + plain), text)
    except ValueError:
        raise CellError(
            f"expected a number or a date, got {shorten(text)}.\nCorrect or empty the cell, or say"
            " ':category' for the column."
        ) from None


def _moment(text: str, day_first: bool) -> Moment | None:
    """Text as a date or time, or None when it is neither."""
    if _TIME.match(text):
        text = f"1970-01-01 {text.zfill(5) if text.count(':') == 1 else text.zfill(8)}"
    if _ISO.match(text):
        day, _, clock = text.replace("T", " ").partition(" ")
        parts = re.split(r"[-/.]", day)
        if len(parts) == 2 and ("." in day or clock):  # 2011.5 is a number
            return None
        day = "-".join(part.zfill(2) for part in (*parts, "01")[:3])
        try:
            found = datetime.fromisoformat(f"{day} {clock.strip()}".strip())
        except ValueError:
            return None
        return Moment((found.replace(tzinfo=None) - EPOCH).total_seconds())
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
    if not isinstance(cell, (str, Real, Decimal, date, time, np.generic)):  # a picture's str() takes long
        return None
    try:
        return number_of(cell)
    except CellError:
        return None


def values_of(cells: Sequence[Any]) -> Sequence[float | None]:
    """Each known cell as number or `Moment`, None where it is neither; quick where Python's own float() reads
    them all, and where few texts repeat."""
    try:
        found = np.array(cells, np.float64) if isinstance(cells[0], (str, Real)) else np.empty((0, 0))
        if found.ndim == 1 and np.isfinite(found).all():
            return found.tolist()  # type: ignore[return-value]
    except (ValueError, TypeError, OverflowError):
        pass
    texts = {cell: _value_or_none(cell) for cell in {cell for cell in cells if type(cell) is str}}
    return [texts[cell] if type(cell) is str else _value_or_none(cell) for cell in cells]


def leading_zeros(cells: Sequence[Any]) -> bool:
    """Are these codes ('007', '01234') rather than numbers?"""
    return any(
        re.fullmatch(r"\s*0\d+\s*", cell) is not None
        for cell in {cell for cell in cells if isinstance(cell, str)}
    )


def brief(value: float) -> str:
    """A number with about four digits, as people write it: 0.01234, 12.3, 123,457."""
    return "0" if abs(value) < 1e-12 else f"{value:,.0f}" if 1e3 <= abs(value) < 1e12 else f"{value:.4g}"
