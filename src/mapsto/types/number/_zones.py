"""Zones of times: 'Z', 'UTC', '+02:00', 'GMT+2', 'EST', as offsets from UTC. No torch here.

Abbreviations that stand for several zones are those of RFC 2822 (CST is America's), and of Europe.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

HOUR = 3600.0
ZONES = (
    {
        "Z": 0.0,
        "UTC": 0.0,
        "GMT": 0.0,
        "UT": 0.0,
        "WET": 0.0,
        "BST": 1.0,
        "WEST": 1.0,
        "CET": 1.0,
        "CEST": 2.0,
    }
    | {"EET": 2.0, "EEST": 3.0, "MSK": 3.0, "IST": 5.5, "SGT": 8.0, "HKT": 8.0, "JST": 9.0, "KST": 9.0}
    | {"AWST": 8.0, "AEST": 10.0, "AEDT": 11.0, "NZST": 12.0, "NZDT": 13.0}
    | {"EST": -5.0, "EDT": -4.0, "CST": -6.0, "CDT": -5.0, "MST": -7.0, "MDT": -6.0, "PST": -8.0, "PDT": -7.0}
    | {"AKST": -9.0, "AKDT": -8.0, "HST": -10.0, "BRT": -3.0}
)
_CLOCK = re.compile(
    r"(.*\d:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s*[AaPp]\.?[Mm]\.?)?)\s*"
    r"(?:(?:UTC|GMT)?([+\-−])(\d{1,2}):?(\d{2})?|([A-Za-z]{1,4}))(?:\s?\[[\w/+\-]+\]|\s?\(\w+\))?"
)


def parted(text: str) -> tuple[str, float | None]:
    """A time without its zone, and that zone's seconds before UTC; as it is, and None, where none is told."""
    if ":" not in text or (found := _CLOCK.fullmatch(text)) is None:
        return text, None
    clock, sign, hours, minutes, word = found.groups()
    if word:
        offset = ZONES.get(word.upper())
        return (text, None) if offset is None else (clock, offset * HOUR)
    offset = int(hours) * HOUR + int(minutes or 0) * 60
    return (text, None) if offset > 15 * HOUR else (clock, offset if sign == "+" else -offset)


def zone_name(offset: float) -> str:
    """+02:00, as ISO writes it; UTC."""
    minutes = round(abs(offset) / 60)
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}" if minutes else "UTC"


def said_zones(zones: Sequence[str]) -> str:
    """zones: in which a column's times are told."""
    if not set(zones) - {"UTC"}:
        return ""
    told = ", ".join(zones[:5]) + (", …" if len(zones) > 5 else "")
    return f"; its zones ({told}) are brought to UTC"
