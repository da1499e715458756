"""What the data gate found, as the page shows it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mapsto.checks.base import Finding
from mapsto.report.markup import Html, data_text, joined, prose, safe, tag

_FLAG = re.compile(r"mapsto \w+[^,(`]*[^,(`\s]|--[a-z][a-z-]*(?: [^\s,(`]+)?")  # what is typed, in a sentence
LEVELS = {"stop": "stops training", "warn": "warning", "note": "note"}


def serious(findings: Sequence[Finding]) -> list[Finding]:
    """Those that a person should act on, worst first."""
    return [one for one in _ordered(findings) if one.level != "note"]


def notes(findings: Sequence[Finding]) -> list[Finding]:
    """The others."""
    return [one for one in findings if one.level == "note"]


def _ordered(findings: Sequence[Finding]) -> list[Finding]:
    order = list(LEVELS)
    return sorted(findings, key=lambda one: order.index(one.level) if one.level in LEVELS else len(LEVELS))


def listed(findings: Sequence[Finding], private: bool) -> Html:
    """Worst first: what, what it does to the result, what mends it."""
    if not findings:
        return Html("")
    items = (_finding(one, private) for one in _ordered(findings))
    return joined([tag("h3", "What the data gate found"), tag("ul", *items, class_="findings")])


def _finding(one: Finding, private: bool) -> Html:
    level = tag("span", LEVELS.get(one.level, one.level), class_="level")
    parts = [
        tag("p", level, prose(one.what), class_="what"),
        tag("p", prose(one.effect[:1].upper() + one.effect[1:])),
    ]
    if one.fix:
        parts.append(tag("p", "To mend it: ", prose(_FLAG.sub(r"`\g<0>`", one.fix))))
    if private and (one.where or one.examples):
        shown = [tag("li", *_example(one, i)) for i in range(min(8, max(len(one.where), len(one.examples))))]
        parts.append(tag("details", tag("summary", "Examples"), tag("ul", *shown)))
    return tag("li", *parts, class_=one.level if one.level in LEVELS else "note")


def _example(one: Finding, i: int) -> list[Html]:
    where = data_text(one.where[i], 120) if i < len(one.where) else Html("")
    cell = data_text(one.examples[i], 200) if i < len(one.examples) else Html("")
    return [where, safe(": ") if where and cell else Html(""), cell]
