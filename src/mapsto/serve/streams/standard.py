"""Standard input and output. What was read from a pipe cannot be read again: a process that is told to leave
answers what waits in it first; one that is killed takes it along."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Sequence
from typing import ClassVar

from mapsto.errors import printable
from mapsto.serve.streams._lines import Lines
from mapsto.serve.streams.base import Event, Opening, Place, Reader, Writer, refuse

CHUNK = 1 << 20  # bytes


class Standard(Place):
    noun: ClassVar[str] = "- (standard input or output)"

    @classmethod
    def is_meant(cls, word: str) -> bool:
        return word == "-"

    @classmethod
    def reader(cls, word: str, opening: Opening) -> Reader:
        refuse("standard input", opening, "it cannot be gone back in, and is read to its end")
        return StandardInput()

    @classmethod
    def writer(cls, word: str) -> Writer:
        return StandardOutput()


class StandardInput(Reader):
    fleeting: bool = True

    def __init__(self) -> None:
        self._place, self._lines = sys.stdin.fileno(), Lines()

    def poll(self, most: int, wait: float) -> list[Event]:
        found = self._lines.take(most)
        if found or self.ended or not select.select([self._place], [], [], wait)[0]:
            return found
        data = os.read(self._place, CHUNK)
        self._lines.feed(data)
        self.ended = not data
        return self._lines.last() if self.ended else self._lines.take(most)


class StandardOutput(Writer):
    def write(self, answers: Sequence[tuple[str, str]]) -> None:
        text = "".join(f"{answer}\n" for _, answer in answers)
        sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()
