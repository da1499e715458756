"""How much one request may ask for, and how many may wait."""

from __future__ import annotations

from dataclasses import dataclass

from mapsto.config import setting
from mapsto.errors import MapstoError


@dataclass(frozen=True)
class Limits:
    wait: float = setting(5, "milliseconds that a request waits for others to join its batch", above=-1e-9)
    queue: int = setting(256, "requests at work; what comes then is told 429, come back later", above=0)
    most_bytes: int = setting(32_000_000, "bytes of a request's body", above=0)
    most_pixels: int = setting(50_000_000, "pixels that a picture of a request may have", above=0)
    most_rows: int = setting(10_000, "rows of a request", above=0)
    seconds: float = setting(30, "seconds that a request may take, its coming in too", above=0)


class Refused(MapstoError):
    """A request that is not answered. status: HTTP's; seconds: after which it may come again."""

    def __init__(self, status: int, why: str, seconds: int = 0):
        super().__init__(why)
        self.status, self.seconds = status, seconds
