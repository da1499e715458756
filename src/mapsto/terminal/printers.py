"""Live progress in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from mapsto.errors import printable
from mapsto.events import Event
from mapsto.terminal.colour import coloured, painted
from mapsto.terminal.results import table
from mapsto.terminal.words import columns, duration, short, size

EVERY = 10.0  # seconds between progress lines where nothing can be redrawn
PATIENCE = 2.0  # seconds that a report may take unsaid

BARRED = 80  # characters of a line, below which figures take the place of the bar
EFFECTS = {"rate": "rate ×", "micro_batch": "micro-batch", "threads": "threads:"}  # of decisions


BARS = {"encode": "reading", "step": "learning", "evaluate": "learning", "question": "reporting"}


class PlainPrinter:
    """One line an event; progress at most every ten seconds."""

    def __init__(self) -> None:
        self._next, self._score, self._best = 0.0, "", ""
        self._heading, self._since = "", 0.0  # the last one, and when the report was begun

    def __call__(self, event: Event) -> None:
        for line in self.lines(event):
            print(line, flush=True)

    def lines(self, event: Event) -> list[str]:
        """What to say of an event."""
        kind = event["event"]
        found: list[str] = getattr(self, f"_{kind}", lambda event: [])(event)
        return [printable(line) for line in found]

    def _under(self, heading: str, lines: Sequence[str]) -> list[str]:
        """Lines below their heading, which stands once."""
        again, self._heading = heading == self._heading, heading
        return [*([] if again else [heading]), *(f"  {line}" for line in lines)] if lines else []

    def _said(self, event: Event) -> list[str]:
        return self._under("data", [event["text"]])

    def _finding(self, event: Event) -> list[str]:
        fix = f" ({event['fix']})" if event["fix"] else ""
        return self._under("data", [f"warning: {event['what']}: {event['effect']}{fix}"])

    def _note(self, event: Event) -> list[str]:
        self._heading = ""
        return [event["text"]]

    def _encode(self, event: Event) -> list[str]:
        if time.monotonic() < self._next:
            return []
        first, self._next = self._next == 0.0, time.monotonic() + EVERY
        return (
            [] if first else self._under("data", [f"{event['rows']:,} of {event['total']:,} rows are read"])
        )

    def _question(self, event: Event) -> list[str]:
        """Of a report that takes long."""
        now = time.monotonic()
        self._since = self._since if event["number"] else now
        if now < max(self._next, self._since + PATIENCE):
            return []
        self._next = now + EVERY
        return [f"  {event['number']} of {event['total']} questions are answered"]

    def _decided(self, event: Event) -> list[str]:
        rows, classes = event["rows"], event["classes"]
        counts = (
            f"{event['total']:,} rows ({rows['train']:,} train, {rows['validation']:,} validation,"
            f" {rows['test']:,} test)"
        )
        kinds = "".join(
            f", {count:,} class{'es' * (count != 1)}" + (f" of {name}" if len(classes) > 1 else "")
            for name, count in classes.items()
        )
        data = [f"{counts}{kinds}"]
        if lost := event["unreadable"]:
            data.append(f"warning: {lost:,} row{'s' * (lost != 1)} could not be read: see quarantine.csv")
        reading = list(event.get("reading", ()))
        others = [sentence for sentence in event["said"] if sentence not in reading]
        model = [short(event["signature"]), f"{event['choice']}{_best_by(event)}", *event["reasons"], *others]
        model.append("change with a signature, --model, --learner, --metric")
        return [*self._under("data", data), *self._under("reading", reading), *self._under("model", model)]

    def _forecast(self, event: Event) -> list[str]:
        lasts = "" if event["seconds"] is None else f"{duration(event['seconds'])}, "
        needs = f"{size(event['memory'])} of memory, {size(event['disk'])} of disk"
        return self._under("plan", [f"forecast: {lasts}{needs}"])

    def _plan(self, event: Event) -> list[str]:
        return self._under("plan", [event["text"]])

    def _decision(self, event: Event) -> list[str]:
        if "stop" in event:
            how = "early stopping" if event["stop"].startswith("no better") else "stopping"
            return [f"{how} at step {event['step']:,}: {event['stop']}"]
        if "minutes" in event:
            return self._under("plan", [event["why"]])
        if "why" in event:
            what = next(f"{words} {event[name]}" for name, words in EFFECTS.items() if name in event)
            return [f"step {event['step']:,}: {event['why']}; {what} from here"]
        return []

    def _step(self, event: Event) -> list[str]:
        if time.monotonic() < self._next:
            return []
        self._next = time.monotonic() + EVERY
        return [told_step(event, self._score)]

    def _evaluate(self, event: Event) -> list[str]:
        if not event["metric"]:
            return []
        slot, name = event["metric"]
        value = event["scores"].get(slot, {}).get(name)
        if value is not None:
            self._best = f"{value:.4f}" if event["best"] or not self._best else self._best
            rival = "" if event["best"] or self._best == f"{value:.4f}" else f" (best {self._best})"
            self._score = f"  validation {name} {value:.4f}{rival}"
        return []

    def _reproduced(self, event: Event) -> list[str]:
        return [
            f"{event['run']}: weights {'equal bit for bit' if event['equal'] else 'DIFFER'} from"
            f" {event['of']}"
        ]

    def _done(self, event: Event) -> list[str]:
        self._heading = self._best = self._score = ""
        lines = ["", *table(event), "", f"{event['run']}  ({duration(event['seconds'])})"]
        lines += [f"report: {event['report']}"] if event.get("report") else []
        return [*lines, event["use"], *_cautioned(event.get("cautions", ()))]


class LivePrinter(PlainPrinter):
    """A bar that is redrawn, and lines above it."""

    def __init__(self) -> None:
        super().__init__()
        self._progress: Any = None
        self._task: Any = None

    def __call__(self, event: Event) -> None:
        kind = event["event"]
        if kind in BARS:
            return self._redraw(event)
        if kind in ("done", "decided", "fit", "note"):
            self._close()
        from mapsto.terminal.narrow import wrapped

        most = columns()
        lines = [part for line in self.lines(event) for part in wrapped(line, most)]
        if coloured(sys.stdout):
            lines = list(map(painted, lines))
        if lines and self._progress is not None:
            self._progress.console.out("\n".join(lines), highlight=False)
        elif lines:
            print("\n".join(lines), flush=True)

    def _open(self, words: str) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        bar = [BarColumn()] if columns() >= BARRED else []
        self._progress = Progress(
            TextColumn("{task.description}"),
            *bar,
            TextColumn("{task.fields[told]}"),
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._progress.add_task(words, total=1.0, told="")
        self._progress.start()

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _redraw(self, event: Event) -> None:
        kind = event["event"]
        if self._progress is None:
            self._open(BARS[kind])
        assert self._progress is not None
        if kind == "evaluate":
            self._evaluate(event)
        elif kind == "step":
            share = event["seconds"] / max(1e-9, event["seconds"] + event["seconds_left"])
            from mapsto.terminal.narrow import fitting

            told = told_step(event, self._score)
            told = told if columns() >= BARRED else fitting(told, columns() - len("learning  "))
            self._progress.update(self._task, completed=share, told=told)
        else:
            done, what = (event["rows"], "rows") if kind == "encode" else (event["number"], "questions")
            told = f"{done:,} of {event['total']:,} {what}"
            self._progress.update(self._task, completed=done / max(1, event["total"]), told=told)

    def __del__(self) -> None:
        self._close()


def _cautioned(said: Sequence[str]) -> list[str]:
    """The last of them says what to do."""
    return ["", *(f"warning: {one}" for one in said[:-1]), said[-1]] if said else []


def _best_by(event: Event) -> str:
    """By which metric the best weights are chosen, of which output where there are several."""
    if not event["best"]:
        return ""
    several = len(event["best"]) > 1 and "," in event["signature"].split("->")[1]
    return f"; best by {event['best'][1]}" + (f" of {event['best'][0]}" if several else "")


def told_step(event: Event, score: str) -> str:
    """Where the training stands, on one line."""
    tokens, left = event.get("tokens_per_second"), duration(event["seconds_left"])
    speed = f"{tokens:,.0f} tokens/s" if tokens else f"{event['rows_per_second']:,.0f} rows/s"
    return f"step {event['step']:,}/{event['total']:,}  loss {event['loss']:.4f}{score}  {speed}  {left} left"
