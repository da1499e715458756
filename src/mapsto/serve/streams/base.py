"""The contract of places that events come from and answers go to. Events are lines. A reader is
told that events are done only once their answers are safe (`commit`), so that whatever ends the process, an
event is answered at least once; its key is the same each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mapsto.errors import ConfigError


@dataclass(frozen=True)
class Event:
    """key: what it is called whenever it is read; text: UTF-8; offset: of what is behind it, in its part of
    the place; first: is it a place's first line?; problem: why it is no event."""

    key: str
    text: bytes
    offset: int
    part: int = 0
    first: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Opening:
    """How a place is read. follow: wait for what is to come; state: where positions are kept; output: the
    file that is written, None where answers go elsewhere; group: by which a broker knows who reads, unless
    the place's own words name another."""

    follow: bool = False
    state: Path | None = None
    output: Path | None = None
    group: str = "mapsto"


class Reader:
    ended: bool = False  # nothing comes after what was given
    fleeting: bool = False  # is what waits there lost once this process ends?
    headed: bool = True  # may its first line name columns?

    def poll(self, most: int, wait: float) -> list[Event]:
        """Events that are there, `most` or fewer; [] where within `wait` seconds none came."""
        raise TypeError(f"{type(self).__name__} reads nothing")

    def first(self) -> bytes | None:
        """The first line of the place where reading begins behind it; None where it is yet to come."""
        return None

    def commit(self, events: Sequence[Event]) -> None:
        """These are answered, and the answers safe."""

    def close(self) -> None:
        """Leave; what is not committed comes again."""


class Writer:
    path: Path | None = None  # of the file that is written

    def write(self, answers: Sequence[tuple[str, str]]) -> None:
        """(key, JSON) of events. Returns once they are safe; RunError: they cannot be."""
        raise TypeError(f"{type(self).__name__} writes nothing")

    def close(self) -> None:
        """Leave."""


class Place:
    """A kind of place. word: how it was named on the command line."""

    noun: ClassVar[str] = ""  # what it is called in an error, with how it is written

    @classmethod
    def is_meant(cls, word: str) -> bool:
        return False

    @classmethod
    def reader(cls, word: str, opening: Opening) -> Reader:
        raise ConfigError(f"{word}: cannot be read from.\nAnswers can go there.")

    @classmethod
    def writer(cls, word: str) -> Writer:
        raise ConfigError(f"{word}: cannot be written to.\nEvents can come from there.")


def refuse(word: str, opening: Opening, why: str) -> None:
    """ConfigError where a place has no use for --state or --follow."""
    for flag, value in (("--state", opening.state), ("--follow", opening.follow)):
        if value:
            raise ConfigError(f"{flag} is of files; {word}: {why}.\nLeave it out.")
