"""How a number or a date is asked for over the web: with the range of its training values, which is told and
no limit."""

from __future__ import annotations

import math
from typing import Any

from mapsto.types.number.numerals import iso

DIGITS = 4  # of a range's ends, as people read them


def field_of(number: Any) -> dict[str, Any]:
    if not number.std or not number.edges:
        return {"kind": "number"}
    low, middle, high = (_value(number, at) for at in (number.edges[0], 0.0, number.edges[-1]))
    if number.kind == "date":
        told = [iso(value) if number.clock else iso(value)[:10] for value in (low, middle, high)]
        return {
            "kind": "date",
            "clock": number.clock,
            **dict(zip(("low", "middle", "high"), told, strict=True)),
        }
    low, middle, high = (float(f"{value:.{DIGITS}g}") for value in (low, middle, high))
    return {"kind": "number", "low": low, "middle": middle, "high": high, "unit": number.unit}


def _value(number: Any, at: float) -> float:
    """In the data's own terms, from standard deviations off the mean."""
    value = number.mean + at * number.std
    return math.copysign(math.expm1(min(abs(value), 88.0)), value) if number.log else value
