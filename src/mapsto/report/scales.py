"""Axes: where ticks stand, what they say, and how numbers are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
DECIMALS = ((1000, 0), (100, 1), (10, 2), (1.0005, 3))  # a figure of that size or more has so many


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
    """A tick's number: 0.2, 1,500, 20k, 3M, 1e-5."""
    if not value:
        return "0"
    size = abs(value)
    for letter, unit in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if unit <= size < 1e12:
            scale = 1e3 if letter == "k" else unit
            return f"{value / scale:.4g}{letter}"
    return (
        f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
        if size < 1e-3 or size >= 1e12
        else f"{value:,.6g}"
    )


def figure(value: Any) -> str:
    """A measured value: about four digits that mean something; a dash where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    size = abs(value)
    if size and size < 1e-3:
        return f"{value:.1e}".replace("e-0", "e-")
    decimals = next((digits for least, digits in DECIMALS if size >= least), 4)
    return f"{value:,.{decimals}f}"


def column(values: Sequence[Any]) -> list[str]:
    """A column of numbers written alike: as many decimals as its largest needs."""
    real = [abs(value) for value in values if isinstance(value, float) and math.isfinite(value)]
    if not real or min((size for size in real if size), default=1.0) < 1e-3:
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
        f"{value:,.{decimals}f}" if isinstance(value, float) and math.isfinite(value) else figure(value)
        for value in values
    ]


def finite(values: Sequence[Any]) -> list[float]:
    """Those that are numbers."""
    return [float(value) for value in values if value is not None and math.isfinite(value)]
