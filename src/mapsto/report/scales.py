"""Axes: where ticks stand, what they say, and how numbers are written."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

STEPS = (1.0, 2.0, 5.0, 10.0)
DECIMALS = ((1000, 0), (100, 1), (10, 2), (1.0005, 3))  # a figure of that size or more has so many
SMALLEST, LARGEST = 1e-6, 1e15  # magnitudes from the one to the other are written out: 0.00002, 37,500
MINUS = "\N{MINUS SIGN}"
# A number as Python writes it with a power of ten; what stands in quotes is the data's own.
_POWER = re.compile(r"(?<![\w.'\"])-?\d(?:\.\d+)?e[+-]\d\d\b")
_NEGATIVE = re.compile(r"(?<![\w.,)\]'\"/=<>-])-(?=\d)")


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, at most `most` of them."""
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # closer than ticks can be told apart
        return [low]
    rough = (high - low) / max(1, most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in STEPS if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Powers of ten, with 2 and 5 between where there is room. 0 < low < high."""
    first, last = math.floor(math.log10(low) - 1e-9), math.ceil(math.log10(high) + 1e-9)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**k for k in range(first, last + 1) for factor in factors]
        found = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(found) <= most:
            return found or [low]
    return found[:: math.ceil(len(found) / most)]


def tick_text(value: float) -> str:
    """A tick's number: 0.2, 1,500, 20k, 3M, 0.00001."""
    if not value:
        return "0"
    size = abs(value)
    for letter, unit in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if unit <= size < 1e12:
            scale = 1e3 if letter == "k" else unit
            return signed(f"{value / scale:.4g}{letter}")
    if SMALLEST <= size < 1e-3:
        return signed(_decimals(value))
    return signed(
        f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
        if size < SMALLEST or size >= 1e12
        else f"{value:,.6g}"
    )


def signed(text: str) -> str:
    """A written number with a true minus sign, as wide as a plus."""
    return MINUS + text[1:] if text.startswith("-") else text


def typeset(text: str) -> str:
    """Numbers in a sentence as people write them: 37,500 for 3.75e+04, and true minus signs. What stands in
    quotes is left as it is."""
    return _NEGATIVE.sub(MINUS, _POWER.sub(lambda found: _written_out(float(found[0])), text))


def _written_out(value: float) -> str:
    size = abs(value)
    if not SMALLEST <= size < LARGEST:
        return f"{value:g}"
    return f"{value:,.0f}" if size >= 1000 else _decimals(value)


def _decimals(value: float) -> str:
    """A number below 1 without a power of ten: 0.00002."""
    return f"{float(f'{value:.3g}'):.9f}".rstrip("0").rstrip(".")


def figure(value: Any) -> str:
    """A measured value: about four digits that mean something; a dash where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return signed(f"{value:,}" if abs(value) >= 10_000 else str(value))
    size = abs(value)
    if size and size < 1e-3:
        tiny = f"{value:.1e}".replace("e-0", "e-")
        return signed(_decimals(float(f"{value:.2g}")) if size >= SMALLEST else tiny)
    decimals = next((digits for least, digits in DECIMALS if size >= least), 4)
    return signed(f"{value:,.{decimals}f}")


def span(low: float | None, high: float | None, between: str = "–") -> str:
    """An interval, both ends with the decimals of the larger; "" where it is not known."""
    ends = [end for end in (low, high) if end is not None and math.isfinite(end)]
    if len(ends) < 2:
        return ""
    largest = max(map(abs, ends))
    if largest < 1e-3:
        return f"{figure(ends[0])} {between} {figure(ends[1])}"
    decimals = next((digits for least, digits in DECIMALS if largest >= least), 4)
    shown = [signed(f"{round(end, decimals) + 0.0:,.{decimals}f}") for end in ends]
    return f" {between} ".join(shown)


def column(values: Sequence[Any]) -> list[str]:
    """A column of numbers written alike: as many decimals as its largest needs."""
    real = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value)]
    if not real or min((size for size in real if size), default=1.0) < 5e-5 or max(real) < 1e-3:
        return [figure(value) for value in values]
    if all(size == int(size) for size in real):
        return [
            figure(int(value)) if isinstance(value, float) and math.isfinite(value) else figure(value)
            for value in values
        ]
    largest = max(real)
    decimals = (
        0 if largest >= 10_000 else 1 if largest >= 100 else 2 if largest >= 10 else 3 if largest > 1 else 4
    )
    while decimals > 1 and all(abs(size - round(size, decimals - 1)) < 1e-9 for size in real):
        decimals -= 1
    return [
        signed(f"{value:,.{decimals}f}")
        if isinstance(value, float) and math.isfinite(value)
        else figure(value)
        for value in values
    ]


def finite(values: Sequence[Any]) -> list[float]:
    """Those that are numbers."""
    return [float(value) for value in values if value is not None and math.isfinite(value)]
