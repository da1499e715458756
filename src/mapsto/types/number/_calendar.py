"""Where in the year, the week and the day a time lies."""

from __future__ import annotations

import numpy as np

from mapsto.types.number.numerals import DAY


def calendar(seconds: np.ndarray, clock: bool) -> np.ndarray:
    """(B,) float64 -> (B, 23 or 27): two waves a year (4), month (12), weekday (7); two waves a day (4) if
    `clock`."""
    stamps = seconds.astype("datetime64[s]")
    years, months, days = (stamps.astype(f"datetime64[{unit}]") for unit in "YMD")
    month = months.astype(np.int64) % 12
    weekday = (days.astype(np.int64) + 3) % 7  # the first of January 1970 was a Thursday
    year = (days - years.astype("datetime64[D]")).astype(np.int64) / 365.25
    waves = [_waves(year), np.eye(12)[month], np.eye(7)[weekday]]
    if clock:
        waves.append(_waves((stamps - days.astype("datetime64[s]")).astype(np.int64) / DAY))
    return np.concatenate(waves, 1)


def _waves(turns: np.ndarray) -> np.ndarray:
    angle = 2 * np.pi * turns
    return np.stack([np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)], 1)
