"""What stands around the numbers of a column: a unit behind each, words for nothing among them; and how its
dates are written. Decided once over its cells. No torch here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from mapsto.types.number.numerals import DAY, Moment, values_of

SURE = 0.95  # share of a column's cells that are numbers, where it is one of numbers
GAPS, WORDS = 0.1, 2  # share of its cells that may be words for nothing, and how many different, none usual
DECIDED = 0.2  # the same where it is decided that they are numbers: of training rows, or by a person
TRIED, LONGEST = 20, 30  # cells that are looked at before all are; letters of a word for nothing
DURATION = "h m s"  # the unit of durations written as 1h 20m: seconds
# words for "not known" that are one even where they stand once
USUAL = frozenset(
    {
        "unknown",
        "unk",
        "n.a.",
        "n.a",
        "n. a.",
        "n/d",
        "not available",
        "not applicable",
        "not known",
        "no data",
    }
    | {"undefined", "tbd", "unbekannt", "nicht bekannt", "keine angabe", "k.a.", "k. a.", "inconnu"}
    | {"desconocido", "error"}
)
_INFINITE = re.compile(r"[-+]?inf(?:inity)?")  # a number, though none to learn from
_LETTER = r"[^\W\d_]"
_UNIT = re.compile(
    rf"([-+−]?\d(?:[\d.,]*\d)?)\s?((?:{_LETTER}|[°'\"])(?:{_LETTER}|[²³2]){{0,8}}(?:/{_LETTER}{{1,4}})?[²³]?)"
)
_SPAN = re.compile(
    r"(?:(\d+)\s*d(?:ays?)?\s*)?(?:(\d+)\s*h(?:rs?|ours?)?\.?\s*)?(?:(\d+)\s*m(?:ins?|inutes?)?\.?\s*)?"
    r"(?:(\d+(?:\.\d+)?)\s*s(?:ecs?|econds?)?\.?)?",
    re.IGNORECASE,
)


def numbers_among(cells: Sequence[Any]) -> Sequence[float | None]:
    """Each known cell as number or `Moment`, None where it is neither: as `values_of`, but of a column of one
    unit without it, and without the cells that are words for nothing among numbers."""
    values = values_of(cells)
    if None not in values:
        return values
    unit, words, values = _around(cells, values, GAPS)
    if not words:
        return values
    cells = [bare(cell, unit) for cell in cells] if unit else cells
    pairs = zip(cells, values, strict=True)
    return [value for cell, value in pairs if value is not None or not is_gap(cell, words)]


def is_gap(cell: Any, words: Collection[str], usual: bool = False) -> bool:
    """Is a cell one of the words for nothing, or, where others are numbers for sure, a usual one?"""
    return type(cell) is str and ((word := cell.strip().casefold()) in words or (usual and word in USUAL))


def gaps_of(cells: Sequence[Any], values: Sequence[float | None], most: float = GAPS) -> tuple[str, ...]:
    """The words among a column's numbers that stand for nothing: usual ones, and at most WORDS others that
    repeat, without a digit; () where they are more than `most` of the cells. values: as of `values_of`."""
    others = [cell for cell, value in zip(cells, values, strict=True) if value is None]
    if not others or len(others) > most * len(cells):
        return ()
    counts = Counter(cell.strip().casefold() for cell in others if type(cell) is str)
    usual = {word for word in counts if word in USUAL}
    repeated = {word for word, count in counts.items() if count > 1 and len(word) <= LONGEST} - usual
    repeated = {word for word in repeated if not any(map(str.isdigit, word))}
    repeated = {word for word in repeated if not _INFINITE.fullmatch(word)}
    return tuple(sorted(usual | repeated if len(repeated) <= WORDS else usual))


def unit_of(cells: Sequence[Any]) -> str:
    """What stands behind the numbers of a column, where it is the same behind all ('kg'), some of which may
    come without; DURATION where they are written as 1h 20m; else ""."""
    texts = {cell.strip() for cell in cells if type(cell) is str}
    some = [*texts][:TRIED]
    if not texts or 2 * sum(bool(_UNIT.fullmatch(text) or _spanned(text)) for text in some) < len(some):
        return ""
    spans = [_spanned(text) for text in texts]
    if max(spans) > 1 and sum(map(bool, spans)) >= SURE * len(texts):
        return DURATION
    found = [match for text in texts if (match := _UNIT.fullmatch(text))]
    units = {match[2].casefold() for match in found}
    plain = sum(value is not None for value in values_of([*texts]))
    return units.pop() if len(units) == 1 and len(found) + plain >= SURE * len(texts) else ""


def _spanned(text: str) -> int:
    """How many parts of a duration a text has: 2 of '1h 20m', 0 where it is none."""
    match = _SPAN.fullmatch(text)
    return sum(part is not None for part in match.groups()) if match and text else 0


def bare(cell: Any, unit: str) -> Any:
    """A cell without the unit of its column, durations in seconds; as it is where it has another."""
    if type(cell) is not str:
        return cell
    text = cell.strip()
    if unit == DURATION:
        if not _spanned(text):
            return cell
        parts = _SPAN.fullmatch(text).groups()  # type: ignore[union-attr]
        return sum(
            float(part or 0) * seconds for part, seconds in zip(parts, (DAY, 3600, 60, 1), strict=True)
        )
    match = _UNIT.fullmatch(text)
    return match[1] if match and match[2].casefold() == unit else cell


def around(cells: Sequence[Any], most: float = GAPS) -> tuple[str, tuple[str, ...]]:
    """The unit of a column's numbers, and the words for nothing among them, at most such a share."""
    return _around(cells, values_of(cells), most)[:2]


def _around(
    cells: Sequence[Any], values: Sequence[float | None], most: float
) -> tuple[str, tuple[str, ...], Sequence[float | None]]:
    """As `around`; and the values, which are given of the cells as they are, of those without their unit."""
    unit = unit_of(cells) if 2 * sum(value is not None for value in values) < len(values) else ""
    if unit:
        cells = [bare(cell, unit) for cell in cells]
        values = values_of(cells)
    return unit, gaps_of(cells, values, most), values


def said_around(name: str, unit: str, words: Sequence[str]) -> list[str]:
    """How numbers with something around them are read; which words count as missing, and the flag for what
    else they may be."""
    listed = ", ".join(f"'{word}'" for word in words[:3])
    told = "durations, in seconds" if unit == DURATION else f"numbers of {unit}"
    return [f"'{name}' is read as {told}"] * bool(unit) + [
        f"'{name}' is read as numbers, {listed} among them as missing; else {name}:category"
    ] * bool(words)


def doubt_of(moments: Sequence[Moment]) -> str:
    """What must be said of a column's dates: "clock", that they are times of day; "order", that some could be
    read with day and month in each other's place; "orders", that it is written both ways; "" nothing."""
    told = {moment.day_first for moment in moments if moment.day_first is not None}
    either = any(moment.swapped not in (None, float(moment)) for moment in moments)
    if moments and all(0 <= moment < DAY for moment in moments):
        return "clock"
    return "orders" if len(told) > 1 else "order" if either else ""


def said_dates(name: str, doubt: str, day_first: bool) -> str:
    order = "day before month" if day_first else "month before day"
    flag = f"({name}:number(day_first=…))"
    if doubt == "orders":
        return (
            f"'{name}' holds dates with the day first and others with the month first; those that could be"
            f" both are read {order} {flag}"
        )
    if doubt == "order":
        return f"'{name}' is read as dates, {order} where a date could be both {flag}"
    return f"'{name}' is read as times of day" if doubt == "clock" else f"'{name}' is read as dates"
