"""What an export of a run may take, as `--fit-into` says it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from mapsto.errors import ConfigError


@dataclass(frozen=True)
class Limit:
    """What an export may take: bytes, and seconds of one row on one core; infinite where nobody said."""

    bytes: float = math.inf
    seconds: float = math.inf


UNITS = {"b": ("bytes", 1), "kb": ("bytes", 1e3), "mb": ("bytes", 1e6), "gb": ("bytes", 1e9)}
UNITS |= {"us": ("seconds", 1e-6), "ms": ("seconds", 1e-3), "s": ("seconds", 1)}


def limit_of(text: str) -> Limit:
    """'2 MB, 5 ms' -> a Limit; either may be left out."""
    found: dict[str, float] = {}
    for part in text.split(","):
        parts = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", part, re.IGNORECASE)
        what, unit = UNITS.get(parts[2].lower(), ("", 0)) if parts else ("", 0)
        if not parts or not what or what in found or not float(parts[1]):
            raise ConfigError(
                f"--fit-into: expected a size and a time as in '2 MB, 5 ms', or one of them, got '{text}'."
            )
        found[what] = float(parts[1]) * unit
    return Limit(**found)
