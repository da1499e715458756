"""Files: events are lines of one, which may grow; answers are added to one. How far it is answered is kept in
a file beside the answers, written once they are on disk: killed at any instant, the next start reads again
what has no answer there, and at most one batch whose answers are there already."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, ClassVar

from mapsto.errors import ConfigError, DataError, MapstoError, RunError
from mapsto.files import disk_error, hold, read_json, write_json
from mapsto.serve.streams._lines import Lines
from mapsto.serve.streams.base import Event, Opening, Place, Reader, Writer

CHUNK = 1 << 20  # bytes
TICK = 0.05  # seconds between two looks at a file that grows
HEAD = 65_536  # bytes of the first line that a file is known by
SHAPE = {"version": int, "file": str, "first_line": str, "bytes": int, "lines": int}


class File(Place):
    noun: ClassVar[str] = "a file"

    @classmethod
    def is_meant(cls, word: str) -> bool:
        return word != "-" and "://" not in word

    @classmethod
    def reader(cls, word: str, opening: Opening) -> Reader:
        beside = opening.output and opening.output.with_name(f"{opening.output.name}.state")
        return FileReader(Path(word), opening.follow, opening.state or beside)

    @classmethod
    def writer(cls, word: str) -> Writer:
        return FileWriter(Path(word))


class FileReader(Reader):
    """state: where its position is kept, None: nowhere, each start begins with the first line."""

    def __init__(self, path: Path, follow: bool, state: Path | None):
        self.path, self.follow, self.state = path, follow, state
        try:
            self._file = path.open("rb")
        except OSError as problem:
            raise DataError(
                f"{path}: cannot be read ({problem.strerror}).\nName a file with an event in each line, or -"
                " for standard input."
            ) from None
        try:
            at, number = self._kept()
        except MapstoError:
            self.close()
            raise
        self._lines = Lines(at, number)
        self._file.seek(at)

    def _kept(self) -> tuple[int, int]:
        """(bytes, lines) that are answered. DataError: the position is of another file, or of one that was
        written anew."""
        if self.state is None or not self.state.exists():
            return 0, 0
        kept = read_json(self.state, dict, f"Begin again: remove {self.state}")
        if wrong := [name for name, kind in SHAPE.items() if not isinstance(kept.get(name), kind)]:
            raise DataError(
                f"{self.state}: expected a position, found no '{wrong[0]}'.\nName another --state."
            )
        if kept["bytes"] > os.fstat(self._file.fileno()).st_size or kept["first_line"] != self._known_by():
            raise DataError(
                f"{self.path}: is not the file that {self.state} tells of, or was written anew.\nName another"
                " --state to begin with its first line."
            )
        return kept["bytes"], kept["lines"]

    def _known_by(self) -> str:
        """Of the first line."""
        return hashlib.sha256((self.first() or b"")[:HEAD]).hexdigest()

    def first(self) -> bytes | None:
        at = self._file.tell()
        self._file.seek(0)
        line = self._file.readline()
        self._file.seek(at)
        return line.rstrip(b"\n")

    def poll(self, most: int, wait: float) -> list[Event]:
        found = self._lines.take(most)
        while len(found) < most and (data := self._file.read(CHUNK)):
            self._lines.feed(data)
            found += self._lines.take(most - len(found))
        if found:
            return found
        if not self.follow:
            self.ended = True
            return self._lines.last()
        self._refuse_new()
        time.sleep(min(wait, TICK))
        return []

    def _refuse_new(self) -> None:
        """DataError: another file took its place, or it was cut."""
        here = os.fstat(self._file.fileno())
        try:
            now = self.path.stat()
        except OSError:
            now = None
        if now is None or now.st_ino != here.st_ino or here.st_size < self._file.tell():
            raise DataError(
                f"{self.path}: was replaced or cut while it was read; its events up to line"
                f" {self._lines.number:,} are answered.\nName another --state to begin with the new one."
            )

    def commit(self, events: Sequence[Event]) -> None:
        if self.state is None:
            return
        last = events[-1]
        record = {
            "version": 1,
            "file": str(self.path.resolve()),
            "first_line": self._known_by(),
            "bytes": last.offset,
            "lines": int(last.key),
        }
        write_json(self.state, record)

    def close(self) -> None:
        self._file.close()


class FileWriter(Writer):
    """Adds to a file, which nobody else may write meanwhile."""

    def __init__(self, path: Path):
        if path.suffix.lower() != ".jsonl":
            raise ConfigError(f"{path}: expected a name ending in .jsonl.\nGive it one.")
        self.path: Path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+")
        except OSError as problem:
            raise disk_error(path, problem) from None
        try:
            hold(self._file, path)
        except RunError:
            self._file.close()
            raise
        _end_with_line(self._file)

    def write(self, answers: Sequence[tuple[str, str]]) -> None:
        try:
            self._file.write("".join(f"{answer}\n" for _, answer in answers).encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as problem:
            raise disk_error(self.path, problem) from None

    def close(self) -> None:
        self._file.close()


def _end_with_line(file: IO[bytes]) -> None:
    """Cut off a line that a killed process left without its end: its event was not committed."""
    at = file.seek(0, os.SEEK_END)
    end = at
    while at:
        low = max(0, at - CHUNK)
        file.seek(low)
        found = file.read(at - low).rfind(b"\n")
        at = low if found < 0 else low + found + 1
        if found >= 0:
            break
    if at < end:
        file.truncate(at)
