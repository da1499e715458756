"""The result of a training as a table: the net beside what is simple, a column a metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mapsto.events import Event
from mapsto.terminal.words import columns, number

NET = "net"
FEW = 5  # rows, below which no interval is told (`measure.scores`)

Lines = list[tuple[str, dict[str, str]]]  # what a line is called, and {metric: its figure in words}


def table(event: Event) -> list[str]:
    """Of each output the net and its baselines, best first by the first metric, aligned; the best of a metric
    has a star."""
    if not event["test"]:
        return ["no test rows: nothing was held back to measure on"]
    found: list[str] = []
    for slot, metrics in event["test"].items():
        lines = _lines(event, slot, metrics)
        counts = {one["n"] for one in metrics.values()}
        title = f"{slot} ({counts.pop():,} test rows)" if len(counts) == 1 else f"{slot} (test rows)"
        for names in _pieces(lines, title, metrics):
            found += ["", *_aligned(lines, title, {name: _titled(name, metrics[name]) for name in names})]
    return [*found[1:], *_learned_from(event)]


def _learned_from(event: Event) -> list[str]:
    """Of which rows net and baselines are made, where these are not the training rows alone: so no run of a
    baseline that learns from those agrees with the figures to its last digit."""
    known = event.get("learned_from")
    if known is None:
        return []
    return [f"net and baselines learned from {known['rows']:,} rows: {' and '.join(known['splits'])}"]


def _titled(name: str, score: Mapping[str, Any]) -> str:
    return f"{name} (0–100)" if "0 to 100" in score.get("definition", "") else name


def _aligned(lines: Lines, title: str, names: Mapping[str, str]) -> list[str]:
    rows = [
        (title, *names.values()),
        *((said, *(told.get(name, "") for name in names)) for said, told in lines),
    ]
    rows = [
        tuple(cell if cell[-1:] == "*" or i == 0 else f"{cell} " for i, cell in enumerate(row))
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first, *rest = widths
    return [
        "  ".join(
            (row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], rest, strict=True)))
        ).rstrip()
        for row in rows
    ]


def _lines(event: Event, slot: str, metrics: Mapping[str, Any]) -> Lines:
    """The net, its interval and what is simple."""
    simple = event["baselines"].get(slot, {})
    values = {NET: {name: one["value"] for name, one in metrics.items()}}
    values |= {
        name: {metric: scores.get(metric, {}).get("value") for metric in metrics}
        for name, scores in simple.items()
    }
    higher = event.get("higher_is_better", {}).get(slot, {})
    best = {metric: _best(values, metric, higher[metric]) for metric in metrics if metric in higher}
    rows: Lines = []
    for name in _sorted(values, next(iter(metrics)), higher):
        told = {
            m: number(value) + "*" * (value is not None and value == best.get(m))
            for m, value in values[name].items()
        }
        rows.append((f"  {name}", told))
        if name == NET:
            rows.append(
                (
                    "    95% interval",
                    {m: _interval(one) for m, one in metrics.items()},
                )
            )
            rows += _of_parts(event, slot)
    counts = {one["n"] for one in metrics.values()}
    if len(counts) > 1:
        rows.append(("  rows", {m: f"{one['n']:,}" for m, one in metrics.items()}))
    return rows


def _interval(score: Mapping[str, Any]) -> str:
    """Its ends; nothing where there are none."""
    if score["low"] is not None:
        return f"{number(score['low'])}–{number(score['high'])}"
    return "too few rows" if score["value"] is not None and score["n"] < FEW else "—"


def _of_parts(event: Event, slot: str) -> Lines:
    """Of test rows that a run had before others were added, and of those."""
    return [
        (
            f"    rows {name}",
            {m: f"{number(one['value'])} ({one['n']:,})" for m, one in scores.get(slot, {}).items()},
        )
        for name, scores in event.get("parts", {}).items()
    ]


def _best(values: Mapping[str, Mapping[str, Any]], metric: str, higher: bool) -> float | None:
    """The best figure, where there are rivals."""
    known = [of[metric] for of in values.values() if of.get(metric) is not None]
    return (max if higher else min)(known) if len(known) > 1 else None


def _sorted(values: Mapping[str, Mapping[str, Any]], metric: str, higher: Mapping[str, bool]) -> list[str]:
    """Names, best first by a metric; as they are where nobody knows what is better."""
    if metric not in higher:
        return list(values)
    sign = -1 if higher[metric] else 1
    return sorted(
        values, key=lambda name: (values[name].get(metric) is None, sign * (values[name].get(metric) or 0))
    )


def _pieces(lines: Lines, title: str, metrics: Mapping[str, Any]) -> list[list[str]]:
    """The metrics in as many parts as their columns need, beside lines' names."""
    first, room = max(len(title), *(len(said) for said, _ in lines)), 0
    pieces: list[list[str]] = []
    for name, score in metrics.items():
        width = 3 + max(len(_titled(name, score)), *(len(told.get(name, "")) for _, told in lines))
        if not pieces or width > room:
            pieces.append([])
            room = columns() - first
        pieces[-1].append(name)
        room -= width
    return pieces
