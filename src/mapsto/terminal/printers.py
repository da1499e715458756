"""Live progress in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from mapsto.errors import printable
from mapsto.events import Event
from mapsto.terminal.words import duration, number, short, size

EVERY = 10.0  # seconds between progress lines where nothing can be redrawn


EFFECTS = {"rate": "rate ×", "micro_batch": "micro-batch", "threads": "threads:"}  # of decisions


class PlainPrinter:
    """One line an event; progress at most every ten seconds."""

    def __init__(self) -> None:
        self._next, self._score = 0.0, ""

    def __call__(self, event: Event) -> None:
        for line in self.lines(event):
            print(line, flush=True)

    def lines(self, event: Event) -> list[str]:
        """What to say of an event."""
        kind = event["event"]
        found: list[str] = getattr(self, f"_{kind}", lambda event: [])(event)
        return [printable(line) for line in found]

    def _said(self, event: Event) -> list[str]:
        return [f"  {event['text']}"]

    def _finding(self, event: Event) -> list[str]:
        return [
            f"  warning: {event['what']}: {event['effect']}" + (f" ({event['fix']})" if event["fix"] else "")
        ]

    def _note(self, event: Event) -> list[str]:
        return [event["text"]]

    def _encode(self, event: Event) -> list[str]:
        if time.monotonic() < self._next:
            return []
        first, self._next = self._next == 0.0, time.monotonic() + EVERY
        return [] if first else [f"reading: {event['rows']:,} of {event['total']:,} rows"]

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
        best = (
            f"; best by {event['best'][1]}"
            + (
                f" of {event['best'][0]}"
                if len(event["best"]) > 1 and "," in event["signature"].split("->")[1]
                else ""
            )
            if event["best"]
            else ""
        )
        lines = [
            f"{short(event['signature'])}: {event['choice']}",
            f"  {counts}{kinds}{best}",
            "  change with a signature, --model, --learner, --metric",
        ]
        lines += [f"  {sentence}" for sentence in [*event["reasons"], *event["said"]]]
        if event["unreadable"]:
            lines.append(
                f"  {event['unreadable']:,} row{'s' * (event['unreadable'] != 1)} could not be read: see"
                " quarantine.csv"
            )
        return lines

    def _forecast(self, event: Event) -> list[str]:
        return [
            f"  forecast: {duration(event['seconds'])}, {size(event['memory'])} of memory,"
            f" {size(event['disk'])} of disk"
        ]

    def _plan(self, event: Event) -> list[str]:
        return [f"  plan: {event['text']}"]

    def _decision(self, event: Event) -> list[str]:
        if "stop" in event:
            how = "early stopping" if event["stop"].startswith("no better") else "stopping"
            return [f"{how} at step {event['step']:,}: {event['stop']}"]
        if "minutes" in event:
            return [f"  {event['why']}"]
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
        self._score = (
            "" if value is None else f"  validation {name} {value:.4f}{' (best)' if event['best'] else ''}"
        )
        return []

    def _reproduced(self, event: Event) -> list[str]:
        return [
            f"{event['run']}: weights {'equal bit for bit' if event['equal'] else 'DIFFER'} from"
            f" {event['of']}"
        ]

    def _done(self, event: Event) -> list[str]:
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
        if kind in ("step", "evaluate", "encode"):
            return self._redraw(event)
        if kind in ("done", "decided", "fit"):
            self._close()
        lines = self.lines(event)
        if lines and self._progress is not None:
            self._progress.console.print("\n".join(lines), markup=False, highlight=False)
        elif lines:
            print("\n".join(lines), flush=True)

    def _open(self, words: str) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), transient=True
        )
        self._task = self._progress.add_task(words, total=1.0, told="")
        self._progress.start()

    def _close(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _redraw(self, event: Event) -> None:
        if self._progress is None:
            self._open("reading" if event["event"] == "encode" else "learning")
        assert self._progress is not None
        if event["event"] == "encode":
            self._progress.update(
                self._task, completed=event["rows"] / max(1, event["total"]), told=f"{event['rows']:,} rows"
            )
        elif event["event"] == "evaluate":
            self._evaluate(event)
        else:
            share = event["seconds"] / max(1e-9, event["seconds"] + event["seconds_left"])
            self._progress.update(self._task, completed=share, told=told_step(event, self._score))

    def __del__(self) -> None:
        self._close()


def _cautioned(said: Sequence[str]) -> list[str]:
    """The last of them says what to do."""
    return ["", *(f"warning: {one}" for one in said[:-1]), said[-1]] if said else []


def told_step(event: Event, score: str) -> str:
    """Where the training stands, on one line."""
    tokens, left = event.get("tokens_per_second"), duration(event["seconds_left"])
    speed = f"{tokens:,.0f} tokens/s" if tokens else f"{event['rows_per_second']:,.0f} rows/s"
    return f"step {event['step']:,}/{event['total']:,}  loss {event['loss']:.4f}{score}  {speed}  {left} left"


def table(event: Event) -> list[str]:
    """The result beside its baselines, aligned."""
    parts = event.get("parts", {})  # test rows that a run had before others were added, and those
    rows = [
        (
            "output",
            "metric",
            "test",
            "95% interval",
            "n",
            *(f"rows {name}" for name in parts),
            *_baseline_names(event),
        )
    ]
    for slot, metrics in event["test"].items():
        for name, found in metrics.items():
            beside = [
                number(event["baselines"].get(slot, {}).get(b, {}).get(name, {}).get("value"))
                for b in _baseline_names(event)
            ]
            beside = [*_of_parts(parts, slot, name), *beside]
            name = f"{name} (0–100)" if "0 to 100" in found.get("definition", "") else name
            rows.append(
                (
                    slot,
                    name,
                    number(found["value"]),
                    f"{number(found['low'])} – {number(found['high'])}",
                    f"{found['n']:,}",
                    *beside,
                )
            )
    if len(rows) == 1:
        return ["no test rows: nothing was held back to measure on"]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _of_parts(parts: Mapping[str, Any], slot: str, metric: str) -> list[str]:
    found = [scores.get(slot, {}).get(metric) for scores in parts.values()]
    return ["" if one is None else f"{number(one['value'])} (n {one['n']:,})" for one in found]


def _baseline_names(event: Event) -> list[str]:
    return list(dict.fromkeys(name for scores in event["baselines"].values() for name in scores))
