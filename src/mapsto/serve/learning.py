"""Learning on from a stream: events are answered first, and learned where their right answers come, with the
events themselves or from another place, in any order.

What is learned, how far both places are read, events that wait for their answers and answers that wait for
their events are of one moment and in one file (`steps.learned_run`); only once it is on disk are events
committed. Killed at any instant, the next start goes on from there: events since are answered again, under
the same keys, and learned once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mapsto.serve.drift import Drift
from mapsto.serve.event_rows import EventRows
from mapsto.serve.served.base import Row, Served
from mapsto.serve.streaming import IDLE, Aftermath, Answer
from mapsto.serve.streams.base import Event, Reader
from mapsto.steps import learned_run
from mapsto.steps.online import GROUP, Online

EVENTS = "events"  # in place of a place: the events bring their right answers
SAVE, SHARE = 5.0, 20  # seconds between checkpoints, at least; or so many times what one takes
WAITING, WAITING_BYTES = 10_000, 64_000_000  # events that may wait for their right answers
AT_ONCE = 256  # labels taken at a time


@dataclass
class Labels:
    """Where right answers come from. rows: how its lines are read; key: the column that names the event."""

    reader: Reader
    rows: EventRows
    key: str


class Positions:
    """How far a place is read: {part: offset behind the last event}. Beyond what was committed lies what was
    done before a kill; word: of the place, another's positions are none."""

    def __init__(self, word: str, reader: Reader):
        self.word, self.reader = word, reader
        self.before: dict[int, int] = {}  # when this process began
        self.last: dict[int, Event] = {}  # since

    def load(self, note: Mapping[str, Any]) -> None:
        if note.get("word") == self.word and not self.reader.fleeting:
            self.before = {int(part): offset for part, offset in note["parts"].items()}

    def note(self) -> dict[str, Any]:
        parts = {**self.before, **{part: event.offset for part, event in self.last.items()}}
        return {"word": self.word, "parts": {str(part): offset for part, offset in parts.items()}}

    def take(self, events: Sequence[Event]) -> None:
        for event in events:
            if not self.is_done(event):
                self.last[event.part] = event

    def is_done(self, event: Event) -> bool:
        return event.offset <= self.before.get(event.part, 0)

    def commit(self) -> None:
        if self.last:
            self.reader.commit(list(self.last.values()))


class Learning(Aftermath):
    """folder: of the learned run; source: how the place of events was named."""

    def __init__(
        self,
        served: Served,
        online: Online,
        folder: Path,
        reader: Reader,
        source: str,
        drift: Drift,
        emit: Callable[[str], None],
        labels: Labels | None = None,
        labels_word: str = "",
    ):
        super().__init__(reader, drift)
        self.served, self.online, self.folder, self.emit = served, online, folder, emit
        self.labels, self.places = labels, [Positions(source, reader)]
        if labels is not None:
            labels.rows.begin(labels.reader)
            self.places.append(Positions(labels_word, labels.reader))
        about = served.describe()
        self.outputs = [one["name"] for one in about["outputs"]]
        self.inputs = [one["name"] for one in about["inputs"]]
        self.pending: list[Row] = []  # labelled, fewer than a group
        self.waiting: dict[str, str] = {}  # {key: JSON of [row, answer]} whose right answer is not there yet
        self.early: dict[str, Row] = {}  # {key: right answers} whose event is not there yet
        self.counts = dict.fromkeys(("events", "labelled", "unread", "unmatched"), 0)
        self._bytes, self._saved, self._takes, self._changed = 0, time.monotonic(), 0.0, False
        self._refused_first = ""
        if (found := learned_run.load(folder)) is not None:
            self._restore(*found)

    # ---- what the stream calls ----

    def is_done(self, event: Event) -> bool:
        return self.places[0].is_done(event)

    def answered(
        self, events: Sequence[Event], rows: Sequence[Row | str], answers: Sequence[Answer], keys: str
    ) -> None:
        self.drift.update([row if not isinstance(row, str) else None for row in rows], answers)
        for row, answer in zip(rows, answers, strict=True):
            if isinstance(row, str) or answer["problem"]:
                continue
            if self.labels is None:
                self._add(row)
            else:
                self._await(str(answer[keys]), row, answer)
        self.places[0].take(events)
        self.counts["events"] += len(answers)
        self._changed = self._changed or bool(events)

    def look(self) -> None:
        if self.labels is not None and len(self.early) < WAITING:
            self._take_labels(self.labels, 0.0)
        if self._changed and time.monotonic() - self._saved > max(SAVE, SHARE * self._takes):
            self.save()

    def drain(self, is_stopped: Callable[[], bool]) -> None:
        """Right answers that are there or, of a place that is followed, until none is waited for."""
        labels = self.labels
        while labels is not None and self.waiting and not labels.reader.ended and not is_stopped():
            self._take_labels(labels, IDLE)
            self.look()
        if not self.online.looked:
            self.online.look()
        self.save()

    # ---- right answers and their events ----

    def _take_labels(self, labels: Labels, wait: float) -> None:
        events = labels.reader.poll(AT_ONCE, wait)
        place = self.places[1]
        for event in events:
            if labels.rows.is_event(event) and not place.is_done(event):
                self._match(labels.rows.read(event), labels.key, event.key)
        place.take(events)
        self._changed = self._changed or bool(events)

    def _match(self, label: Row | str, column: str, where: str) -> None:
        """A line of right answers to its event; one that has the inputs needs none."""
        if isinstance(label, str):
            self._refuse(f"{where}: {label}")
        elif (key := str(label.get(column))) in self.waiting:
            self._join(self._forget(key), label)
        elif all(name in label for name in self.inputs):
            self._add(label)
        elif label.get(column) in (None, ""):
            self._refuse(f"{where}: expected a key in '{column}', found none")
        else:
            self.early[key] = label
            if len(self.early) > WAITING:
                self.early.pop(next(iter(self.early)))
                self.counts["unmatched"] += 1

    def _await(self, key: str, row: Row, answer: Answer) -> None:
        if key in self.early:
            self._join([row, answer], self.early.pop(key))
            return
        text = json.dumps([row, answer])
        if key in self.waiting:
            self._forget(key)
        self.waiting[key] = text
        self._bytes += len(text)
        while len(self.waiting) > WAITING or self._bytes > WAITING_BYTES:
            self._forget(next(iter(self.waiting)))

    def _forget(self, key: str) -> list[Any]:
        text = self.waiting.pop(key)
        self._bytes -= len(text)
        return json.loads(text)

    def _join(self, event: Sequence[Any], label: Row) -> None:
        row, answer = event
        whole = {**row, **{name: label[name] for name in self.outputs if name in label}}
        self.drift.judge(whole, answer)
        self._add(whole)

    def _add(self, row: Row) -> None:
        """A row, where it has a right answer; a whole group is learned."""
        if all(row.get(name) in (None, "") for name in self.outputs):
            return
        self.counts["labelled"] += 1
        self.pending.append(row)
        if len(self.pending) >= GROUP:
            encoded, problems = self.served.labelled(self.pending)
            for number, why in problems.items():
                self._refuse(f"labelled row {number}: {why}")
            if len(problems) < len(self.pending):
                self.online.learn(encoded)
            self.pending = []

    def _refuse(self, why: str) -> None:
        self.counts["unread"] += 1
        self._refused_first = self._refused_first or " ".join(why.split())

    # ---- state ----

    def save(self) -> None:
        """All of this moment on disk; then events are committed."""
        start = time.monotonic()
        tensors, note = self.online.state()
        held = {"pending": self.pending, "waiting": self.waiting, "early": self.early}
        text = bytearray(json.dumps(held).encode())
        tensors["rows"] = torch.frombuffer(text, dtype=torch.uint8)
        places = [place.note() for place in self.places]
        note = {"online": note, "places": places, "counts": self.counts, "version": 1}
        learned_run.save(self.folder, tensors, note)
        for place in self.places:
            place.commit()
        self._saved, self._changed = time.monotonic(), False
        self._takes = self._saved - start

    def _restore(self, tensors: Mapping[str, Any], note: Mapping[str, Any]) -> None:
        held = json.loads(tensors["rows"].numpy().tobytes())
        self.pending, self.waiting, self.early = held["pending"], held["waiting"], held["early"]
        self._bytes = sum(map(len, self.waiting.values()))
        self.counts = dict(note["counts"])
        for place, kept in zip(self.places, note["places"], strict=False):
            place.load(kept)
        self.online.load_state(tensors, note["online"])

    # ---- what came of it ----

    def record(self) -> dict[str, Any]:
        """For the learned run's record."""
        words = [place.word for place in self.places]
        return {"from": words[0], "labels": words[1] if len(words) > 1 else EVENTS, **self.counts}

    def in_words(self, stream: Mapping[str, Any], path: Path) -> list[str]:
        """stream: as the record has it."""
        lines = [_learned(stream, len(self.pending))]
        for slot, found in stream["answered"].items():
            if found["n"]:
                before, now, lost = found["before"], found["now"], stream["forgot"].get(slot, 0.0)
                lines.append(
                    f"'{slot}': {found['metric']} {now:.4g} of {found['n']:,} labelled events before each was"
                    f" learned, {before:.4g} without learning; on the run's own test rows {_lost(lost)}"
                )
        if stream["refused"]:
            back = f"; taken back {_times(stream['taken_back'])}" * bool(stream["taken_back"])
            lines.append(
                f"at {stream['refused']:,} of {stream['looks']:,} looks it had lost more than --most-forget"
                f" {stream['most_forget']:g} on the run's own test rows, and did not answer{back}"
            )
        if self.counts["unread"]:
            lines.append(f"{self.counts['unread']:,} right answers could not be read: {self._refused_first}")
        lines.append(f"the learned run: {path}")
        return lines


def _learned(stream: Mapping[str, Any], pending: int) -> str:
    told = [found["n"] for found in stream["answered"].values()]  # those that could be read
    learned = max(told, default=stream["labelled"] - pending)
    waits = f"; {pending} wait for {GROUP - pending} more" if pending else ""
    return f"learned from {learned:,} labelled events in {stream['step']:,} steps{waits}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"


def _lost(lost: float) -> str:
    return "nothing lost" if not lost else f"{abs(lost):.4g} {'lost' if lost > 0 else 'gained'}"
