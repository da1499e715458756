"""The data gate: what is wrong with the data before anything is learned from it. One file in this folder is one fault looked for.

A file holds `look(evidence) -> list[Finding]`. It reads what the scan and the encoded store already hold, a few passes of array
code over bounded samples: seconds, whatever the size of the set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LEVELS = ("stop", "warn", "note")  # stop: `train` refuses; warn: said once; note: only in the record and the report


@dataclass(frozen=True)
class Finding:
    """One fault. name: what to call it ("leakage", "duplicates", "constant", …); level: one of LEVELS; what: one sentence with the
    count; effect: what it would do to the result; fix: the flag or command that mends it; columns: those concerned; count: rows or
    cells; rows: row numbers of examples; where: what a person would call them ("line 17"); examples: their cells, private."""

    name: str
    level: str
    what: str
    effect: str
    fix: str
    columns: tuple[str, ...] = ()
    count: int = 0
    rows: tuple[int, ...] = ()
    where: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Finding:
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in record.items()})
