"""Events answered as they come: taken in small batches, put through what is served, written, and only then
committed. An event that cannot be answered gets an answer that says why."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mapsto.cells import shorten
from mapsto.errors import FAILURES, DataError, MapstoError
from mapsto.serve.drift import Drift
from mapsto.serve.event_rows import EventRows
from mapsto.serve.limits import Limits
from mapsto.serve.served.base import Row, Served, Wish
from mapsto.serve.streams.base import Event, Reader, Writer

IDLE = 0.2  # seconds after which it is looked whether to stop
Answer = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """key: the column that names an event, "" for its place; csv: lines are csv, the first names the columns;
    batch: events at most; wait: seconds that an event waits for others."""

    wish: Wish = field(default_factory=Wish)
    key: str = ""
    csv: bool = False
    batch: int = 256
    wait: float = 0.005


class Aftermath:
    """What follows once answers are safe: their events are committed, and what changes in them is told
    (`mapsto.serve.learning` also learns from them)."""

    def __init__(self, reader: Reader, drift: Drift):
        self.reader, self.drift = reader, drift

    def is_done(self, event: Event) -> bool:
        """Is it done already, though nobody committed it?"""
        return False

    def answered(
        self, events: Sequence[Event], rows: Sequence[Row | str], answers: Sequence[Answer], keys: str
    ) -> None:
        """events: all that were taken; rows: of those that are events; keys: the column of answers' keys."""
        self.reader.commit(events)
        self.drift.update([row if not isinstance(row, str) else None for row in rows], answers)

    def look(self) -> None:
        """Between two batches, also where none comes."""

    def drain(self, is_stopped: Callable[[], bool]) -> None:
        """No event comes any more."""


class Streaming:
    """after: what follows once answers are safe."""

    def __init__(self, served: Served, reader: Reader, writer: Writer, asked: Asked, after: Aftermath):
        self.served, self.reader, self.writer, self.asked, self.after = served, reader, writer, asked, after
        self.answered = self.bad = 0
        self.unkeyed = 0  # answered, and named by their place, since they lack the key that was asked for
        self.stopped = False  # set from outside: leave once what was taken is answered
        self._rows = EventRows(asked.csv)
        self._empty: Answer = dict.fromkeys(_columns(served, asked.wish))
        self._key = "key" if "key" not in self._empty else "event.key"

    def run(self) -> None:
        """Until the place ends or it is stopped. MapstoError: a place fails."""
        self._rows.begin(self.reader)
        while not self.stopped and not self.reader.ended:
            self.step(self.gather())
            self.after.look()
        while self.reader.fleeting and (events := self.reader.poll(self.asked.batch, 0)):
            self.step(events)
        self.after.drain(lambda: self.stopped)

    def gather(self) -> list[Event]:
        """A batch: full, or as much as came while its first event waited."""
        most = self.asked.batch
        events = self.reader.poll(most, IDLE)
        end = time.monotonic() + self.asked.wait
        while events and len(events) < most and not self.reader.ended and not self.stopped:
            left = end - time.monotonic()
            if left <= 0:
                break
            events += self.reader.poll(most - len(events), left)
        return events

    def step(self, events: Sequence[Event]) -> None:
        """Answer, write, commit: in this order."""
        if not events:
            return
        read = [
            (event, self._rows.read(event))
            for event in events
            if self._rows.is_event(event) and not self.after.is_done(event)
        ]
        answers = self._answers(read)
        if answers:
            self.writer.write([(str(one[self._key]), _json(one)) for one in answers])
        self.after.answered(events, [row for _, row in read], answers, self._key)
        self.answered += len(answers)
        self.bad += sum(bool(one["problem"]) for one in answers)

    # ---- rows to answers ----

    def _answers(self, read: Sequence[tuple[Event, Row | str]]) -> list[Answer]:
        """An answer to each, in their order."""
        rows = {i: row for i, (_, row) in enumerate(read) if not isinstance(row, str)}
        told = dict(zip(rows, answered(self.served, list(rows.values()), self.asked.wish), strict=True))
        return [self._named(event, row, told.get(i)) for i, (event, row) in enumerate(read)]

    def _named(self, event: Event, row: Row | str, told: Answer | str | None) -> Answer:
        """The answer under its event's key."""
        found = told if isinstance(told, dict) else self._empty
        found = {name: cell for name, cell in found.items() if name != "row"}
        problem = row if isinstance(row, str) else told if isinstance(told, str) else found.get("problem")
        key: Any = event.key
        self.unkeyed += bool(self.asked.key) and isinstance(row, str)
        if self.asked.key and not isinstance(row, str):
            key = row.get(self.asked.key)
            if not isinstance(key, (str, int, float)):
                found_key = "none" if key is None else shorten(key, 40)
                lacks = f"expected a key in '{self.asked.key}', found {found_key}; its place stands for it"
                problem = f"{problem}; {lacks}" if problem else lacks
                key, self.unkeyed = event.key, self.unkeyed + 1
        return {self._key: key, **found, "problem": " ".join(str(problem or "").split())}


def _columns(served: Served, wish: Wish) -> list[str]:
    """Of every answer, whatever came."""
    about = served.describe()
    chances = [column for output in about["outputs"] for _, column in output["classes"] if wish.probabilities]
    return [*about["columns"], *chances]


def answered(served: Served, rows: Sequence[Row], wish: Wish) -> list[Answer | str]:
    """An answer to each row, or why there is none. Rows of the same columns are read together: whether a
    column lacks is then no matter of what came with a row."""
    alike: dict[tuple[str, ...], list[int]] = {}
    for i, row in enumerate(rows):
        alike.setdefault(_shape(row), []).append(i)
    found: list[Answer | str] = [""] * len(rows)
    reads = {}
    for places in alike.values():
        try:
            reads[places[0]] = served.read([rows[i] for i in places], wish, Limits().most_pixels)
        except DataError as problem:
            for i in places:
                found[i] = str(problem).partition("\n")[0]  # what follows is of requests
    try:
        made = served.predict([read.payload for read in reads.values()]) if reads else []
        for (first, read), one in zip(reads.items(), made, strict=True):
            for i, answer in zip(alike[_shape(rows[first])], served.decode(read, one, wish), strict=True):
                found[i] = answer
    except FAILURES as problem:
        if len(rows) > 1:  # one of them broke the net; the others are answered
            return [answered(served, [row], wish)[0] for row in rows]
        why = str(problem) if isinstance(problem, MapstoError) else f"{type(problem).__name__}: {problem}"
        return [why]
    return found


def _shape(row: Row) -> tuple[str, ...]:
    """Its columns, and those within."""
    inner = [f"{name}.{one}" for name, cell in row.items() if isinstance(cell, Mapping) for one in cell]
    return (*sorted(row), *sorted(inner))


def _json(answer: Answer) -> str:
    """One line; halves of characters, which no file can hold, are escaped."""
    line = json.dumps(answer, ensure_ascii=False)
    return line.encode("utf-8", "backslashreplace").decode("utf-8")
