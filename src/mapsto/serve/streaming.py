"""Events answered as they come: taken in small batches, put through what is served, written, and only then
committed. An event that cannot be answered gets an answer that says why."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mapsto.cells import shorten
from mapsto.errors import FAILURES, DataError, MapstoError
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


class Streaming:
    """heard: is given each batch's rows (None where there is none) and answers, once they are safe."""

    def __init__(
        self,
        served: Served,
        reader: Reader,
        writer: Writer,
        asked: Asked,
        heard: Callable[[Sequence[Row | None], Sequence[Answer]], None] | None = None,
    ):
        self.served, self.reader, self.writer, self.asked, self.heard = served, reader, writer, asked, heard
        self.answered = self.bad = 0
        self.stopped = False  # set from outside: leave once what was taken is answered
        self._empty: Answer = dict.fromkeys(_columns(served, asked.wish))
        self._key = "key" if "key" not in self._empty else "event.key"
        self._columns: list[str] | None = None  # of csv lines
        self._mark = ","

    def run(self) -> None:
        """Until the place ends or it is stopped. MapstoError: a place fails."""
        if self.asked.csv and (line := self.reader.first()):
            self._name_columns(line)
        while not self.stopped and not self.reader.ended:
            self.step(self.gather())
        while self.reader.fleeting and (events := self.reader.poll(self.asked.batch, 0)):
            self.step(events)

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
        read = [(event, self._row(event)) for event in events if self._is_event(event)]
        answers = self._answers(read)
        if answers:
            self.writer.write([(str(one[self._key]), _json(one)) for one in answers])
        self.reader.commit(events)
        self.answered += len(answers)
        self.bad += sum(bool(one["problem"]) for one in answers)
        if self.heard and answers:
            self.heard([row if not isinstance(row, str) else None for _, row in read], answers)

    # ---- lines to rows ----

    def _is_event(self, event: Event) -> bool:
        """Empty lines are none, nor is the one that names the columns."""
        if self.asked.csv and event.first:
            self._name_columns(event.text)
            return False
        return bool(event.problem or event.text.strip())

    def _name_columns(self, line: bytes) -> None:
        text = line.decode("utf-8-sig", "replace").rstrip("\r")
        self._mark = max(",;\t|", key=text.count)
        self._columns = next(csv.reader([text], delimiter=self._mark), [])

    def _row(self, event: Event) -> Row | str:
        """Its cells, or what is wrong with it."""
        if event.problem:
            return event.problem
        try:
            text = event.text.decode("utf-8-sig")
            return self._cells(text.rstrip("\r")) if self.asked.csv else _object(text)
        except (ValueError, RecursionError, csv.Error) as problem:
            what = "a csv line" if self.asked.csv else "a JSON object"
            why = (
                f"{problem.msg}, column {problem.colno}"
                if isinstance(problem, json.JSONDecodeError)
                else problem
            )
            return f"expected {what}, found {shorten(event.text.decode('utf-8', 'replace'), 60)} ({why})"

    def _cells(self, line: str) -> Row:
        cells = next(csv.reader([line], delimiter=self._mark, strict=True), [])
        columns = self._columns or []
        if len(cells) != len(columns):
            raise ValueError(f"{len(cells)} cells, where {len(columns)} columns are named")
        return dict(zip(columns, cells, strict=True))

    # ---- rows to answers ----

    def _answers(self, read: Sequence[tuple[Event, Row | str]]) -> list[Answer]:
        """An answer to each, in their order."""
        rows = {i: row for i, (_, row) in enumerate(read) if not isinstance(row, str)}
        told = dict(zip(rows, answered(self.served, list(rows.values()), self.asked.wish), strict=True))
        return [self._named(event, row, told.get(i)) for i, (event, row) in enumerate(read)]

    def _named(self, event: Event, row: Row | str, told: Answer | str | None) -> Answer:
        """The answer under its event's key."""
        found = self.served.flat(told) if isinstance(told, dict) else self._empty
        found = {name: cell for name, cell in found.items() if name != "row"}
        problem = row if isinstance(row, str) else told if isinstance(told, str) else found.get("problem")
        key: Any = event.key
        if self.asked.key and not isinstance(row, str):
            key = row.get(self.asked.key)
            if not isinstance(key, (str, int, float)):
                found_key = "none" if key is None else shorten(key, 40)
                problem = problem or f"expected a key in '{self.asked.key}', found {found_key}"
                key = event.key
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


def _object(text: str) -> Row:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(f"JSON, but a {type(found).__name__}")
    return found


def _json(answer: Answer) -> str:
    """One line; halves of characters, which no file can hold, are escaped."""
    line = json.dumps(answer, ensure_ascii=False)
    return line.encode("utf-8", "backslashreplace").decode("utf-8")
