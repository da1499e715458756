"""Bytes as they come in, divided into lines."""

from __future__ import annotations

from mapsto.serve.streams.base import Event

MOST_LINE = 32_000_000  # bytes of a line, as of a request to a server


class Lines:
    """at: bytes of the place before what is fed; number: lines before it."""

    def __init__(self, at: int = 0, number: int = 0):
        self.at, self.number = at, number
        self._rest = bytearray()
        self._dropped = 0  # bytes of a line that is too long, which are not kept

    def feed(self, data: bytes) -> None:
        self._rest += data

    def take(self, most: int) -> list[Event]:
        """Whole lines, `most` or fewer."""
        found, low = [], 0
        while len(found) < most and (high := self._rest.find(b"\n", low)) >= 0:
            found.append(self._event(bytes(self._rest[low:high]), high + 1 - low))
            low = high + 1
        del self._rest[:low]
        if len(found) < most and len(self._rest) > MOST_LINE:
            self._dropped += len(self._rest)
            self._rest.clear()
        return found

    def last(self) -> list[Event]:
        """What stands behind the last line's end, once nothing more comes."""
        text = bytes(self._rest)
        self._rest.clear()
        return [self._event(text, len(text))] if text or self._dropped else []

    def _event(self, text: bytes, size: int) -> Event:
        size, self._dropped = size + self._dropped, 0
        self.at, self.number = self.at + size, self.number + 1
        long = f"expected a line of at most {MOST_LINE:,} bytes, found {size:,}" * (size > MOST_LINE)
        first = self.number == 1
        return Event(str(self.number), b"" if long else text, self.at, first=first, problem=long)
