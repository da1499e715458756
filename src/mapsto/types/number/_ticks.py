"""Places on an axis of dates."""

from __future__ import annotations

import numpy as np

from mapsto.types.number.numerals import DAY, iso


def date_ticks(places: np.ndarray) -> tuple[tuple[float, str], ...]:
    """Ascending seconds -> (place, date): at midnight where days lie between them, else at full seconds."""
    apart = float(np.ptp(places)) / max(1, len(places) - 1)
    unit = DAY if apart >= DAY else 1
    moved = np.unique(np.round(np.asarray(places, np.float64) / unit) * unit)
    return tuple((float(place), iso(float(place))) for place in moved)
