"""What changes in a stream, told by ADWIN: the share of events that are unlike the training rows, of those
with a problem, and, where events bring the right answer along, of wrong answers. Figures are prequential: an
answer is given before its event's truth is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mapsto.measure.adwin import EVERY, Adwin


class Drift:
    """about: as what is served describes itself; emit: is told a line at each change. Wrong is an answer that
    is not the class that came along or, of numbers, whose interval does not hold it."""

    def __init__(self, about: Mapping[str, Any], emit: Callable[[str], None]):
        self.emit, self.events = emit, 0
        self.outputs = {output["name"]: output for output in about["outputs"]}
        self.windows: dict[str, Adwin] = {}
        self.changing: dict[str, tuple[float, int]] = {}  # {what: (share before, event that showed it)}
        self.told: dict[str, tuple[bool, float]] = {}  # {what: (upward?, share) of the last change told}
        self.wrong: dict[str, list[int]] = {}  # {output: [wrong, known]}

    def update(self, rows: Sequence[Mapping[str, Any] | None], answers: Sequence[Mapping[str, Any]]) -> None:
        """A batch. rows: None where a line was none."""
        for row, answer in zip(rows, answers, strict=True):
            self.events += 1
            self._count("events with a problem", bool(answer["problem"]))
            if answer["problem"] or row is None:
                continue
            if answer.get("unsure") is not None:
                self._count("events unlike the training rows", answer["unsure"])
            self.judge(row, answer)

    def judge(self, row: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        """An answer beside its event, where the truth stands in it."""
        for name, output in self.outputs.items():
            if (wrong := _is_wrong(output, row, answer)) is not None:
                said = self.wrong.setdefault(name, [0, 0])
                said[0], said[1] = said[0] + wrong, said[1] + 1
                self._count(f"wrong answers for '{name}'", wrong)

    def _count(self, what: str, is_so: bool) -> None:
        window = self.windows.setdefault(what, Adwin())
        if change := window.add(float(is_so)):
            self.changing.setdefault(what, (change.before, self.events))
        elif what in self.changing and window.seen % EVERY == 0:  # the window has settled: one line a change
            self._tell(what)

    def _tell(self, what: str) -> None:
        before, event = self.changing.pop(what)
        window = self.windows[what]
        upward, last = self.told.get(what, (False, 0.0))
        if (window.mean > before) == upward and last / 2 < window.mean < last * 2 and what in self.told:
            return  # what changes slowly is told whenever it has halved or doubled
        self.told[what] = window.mean > before, window.mean
        now = f"{window.mean:.1%} of the last {window.n:,}"
        self.emit(f"changed by event {event:,}: {what}: {before:.1%} before, {now}")

    def in_words(self) -> list[str]:
        """What is known of the answers in the end."""
        for what in list(self.changing):
            self._tell(what)
        return [
            f"'{name}': {1 - wrong / known:.1%} right of {known:,} whose answer came along"
            + f" ({1 - self.windows[what].mean:.1%} of the last {self.windows[what].n:,})"
            for name, (wrong, known) in self.wrong.items()
            if (what := f"wrong answers for '{name}'")
        ]


def _parted(labels: Any) -> list[str]:
    """As a table holds them."""
    return [label.strip() for label in str(labels).split(";") if label.strip()]


def _is_wrong(output: Mapping[str, Any], row: Mapping[str, Any], answer: Mapping[str, Any]) -> bool | None:
    """None: no truth came along, or nobody can say."""
    truth, columns = row.get(output["name"]), output["columns"]
    if truth is None or truth == "":
        return None
    if output["classes"]:
        value = answer[columns["value"]]
        if isinstance(value, list):  # labels, in any order
            return {*map(str, value)} != {*map(str, truth if isinstance(truth, list) else _parted(truth))}
        return str(value) != str(truth).strip()  # classes are read without blanks around
    low, high = (answer.get(columns.get(end, "")) for end in ("low", "high"))
    try:
        return None if low is None or high is None else not low <= float(truth) <= high
    except (TypeError, ValueError):
        return None
