"""The seconds that checks share: what can be long is looked at piece by piece, and says where it was cut."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

Piece = TypeVar("Piece")
LEAST = 0.5  # seconds of a check, however little is left


@dataclass
class Clock:
    """seconds: for all checks together; each may take half of what is left. cut: what the check that is at
    work did not get to."""

    seconds: float
    cut: list[str] = field(default_factory=list)
    _until: float = float("inf")

    def begin(self) -> float:
        """A check begins; when, to be handed to `end`."""
        now = time.monotonic()
        self.cut, self._until = [], now + max(LEAST, self.seconds / 2)
        return now

    def end(self, begun: float) -> float:
        """It ended; the seconds that it took."""
        taken = time.monotonic() - begun
        self.seconds, self._until = self.seconds - taken, float("inf")
        return taken

    def each(self, pieces: Collection[Piece], what: str) -> Iterator[Piece]:
        """The pieces while there is time, one at least. what: they are, in the plural."""
        for done, piece in enumerate(pieces):
            if done and time.monotonic() > self._until:
                self.cut.append(f"{done:,} of {len(pieces):,} {what}")
                return
            yield piece
