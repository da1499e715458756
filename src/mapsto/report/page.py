"""A run as one page: self-contained html that asks nothing of anybody. No script, no font, no address but its
own.

page(run, sections, findings)   the text of report.html, at most MOST_BYTES long
document(title, head, chapters) any other page of sections, such as a comparison
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mapsto.blocks import Lines, Paragraph, Section
from mapsto.checks.base import Finding
from mapsto.config import VERSION
from mapsto.report import decisions, facts
from mapsto.report.drawn import curves, drawn
from mapsto.report.figures import HALF, WIDE, bars, both
from mapsto.report.frame import ROOMY, Limits
from mapsto.report.markup import Html, data_text, joined, prose, safe, tag
from mapsto.report.scales import figure
from mapsto.report.use import reproduce, use
from mapsto.run import Run

MOST_BYTES = 3_000_000
LADDER = (  # tried one after the other until the page is small enough; the first is how it should be
    ROOMY,
    Limits(side=160, items=40),
    Limits(side=96, items=30),
    Limits(side=96, letters=160, rows=60, columns=30, items=16),
    Limits(side=0, letters=120, rows=40, columns=20, items=10),
)
BESIDE = 540  # pixels of the head's bars
LAST = ("cost",)  # questions about the making rather than the made stand behind the others
# Nothing may be loaded, wherever the page is opened: not even where a cell of the data slipped through.
POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none';"
    " form-action 'none'"
)


@dataclass(frozen=True)
class Chapter:
    """A part of the page. name: its place in addresses; body: what stands below the title and the
    one-sentence answer."""

    name: str
    title: str
    answer: str
    body: Html
    group: str = ""


def page(
    run: Run,
    sections: Sequence[Section],
    findings: Sequence[Finding] = (),
    example: Mapping[str, Any] | None = None,
    private: bool = True,
) -> str:
    """report.html. sections: what questions found; example: a row's cells by column; private: may rows of the
    data be shown?"""
    shown = [section if private else section.public() for section in sections]
    written = ""
    for limits in LADDER:
        chapters = _chapters(run, shown, findings, example or {}, private, limits)
        written = document(
            run.record["data"]["name"], _hero(run), chapters, "" if limits is ROOMY else _smaller(limits)
        )
        if len(written.encode()) <= MOST_BYTES:
            return written
    bare = [
        Chapter(c.name, c.title, c.answer, safe("Left out: the page would be larger than 3 MB. "), c.group)
        for c in chapters
    ]
    return document(run.record["data"]["name"], _hero(run), bare, "")


def _smaller(limits: Limits) -> str:
    pictures = f"pictures are at most {limits.side} pixels wide" if limits.side else "pictures are left out"
    return (
        f"So that this page stays below 3 MB, {pictures}, and long tables and galleries are cut;"
        " `sections.json` in the run has all of them."
    )


def document(title: str, head: Html, chapters: Sequence[Chapter], note: str = "") -> str:
    """A whole page of chapters with its table of contents."""
    inside = [
        tag("section", tag("h2", one.title), _answer(one.answer), one.body, id=one.name) for one in chapters
    ]
    said = f"Made by mapsto {VERSION}. This page holds no script and asks for nothing over the network. "
    foot = tag("footer", said, prose(note), class_="foot")
    brand = tag("p", "maps", tag("span", "to"), class_="brand")
    side = tag("aside", tag("nav", brand, _contents(chapters), aria_label="Contents"), class_="side")
    small = tag(
        "nav",
        tag("details", tag("summary", "Contents"), _contents(chapters)),
        class_="small-toc",
        aria_label="Contents, folded",
    )
    skip = tag("a", "To the figures", href="#top", class_="skip")
    body = tag(
        "body", skip, tag("div", side, head, tag("main", small, *inside, id="top"), foot, class_="page")
    )
    meta = joined(
        [
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("title", f"{title} · mapsto"),
            tag("link", rel="icon", href="data:,"),
            tag("style", Html(_style())),
        ]
    )
    return f"<!doctype html>\n{tag('html', tag('head', meta), body, lang='en')}\n"


@cache
def _style() -> str:
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")


def _contents(chapters: Sequence[Chapter]) -> Html:
    items: list[Html] = []
    group = ""
    for one in chapters:
        if one.group != group:
            group = one.group
            items.append(tag("li", group, class_="group"))
        items.append(tag("li", tag("a", one.title, href=f"#{one.name}")))
    return tag("ul", *items, class_="toc")


def _answer(text: str) -> Html:
    return tag("p", prose(text), class_="answer") if text else Html("")


# --- the head -------------------------------------------------------------------------------------


def _hero(run: Run) -> Html:
    """What it learned, the figure that matters with its interval, beside what is simple."""
    found = facts.scores(run)
    told = run.record.get("created", "")[:10]
    map_ = tag("p", tag("code", data_text(decisions.signature(run, 220), 400)), class_="map")
    kicker = tag("p", f"Report of a training, {told}", class_="kicker")
    return tag(
        "header",
        kicker,
        tag("h1", data_text(run.record["data"]["name"], 80)),
        map_,
        _result(run, found),
        class_="hero",
    )


def _result(run: Run, found: Sequence[facts.Score]) -> Html:
    main = found[0] if found else None
    poor = main is None or main.poor
    verdict = tag("p", facts.first_verdict(found), class_="verdict poor" if poor else "verdict")
    more = [
        (
            figure(score.value),
            f"{facts.named(score.metric)} of {score.slot}, {score.interval or 'no interval'}",
        )
        for score in found[1:9]
    ]
    tiles = tag(
        "ul",
        *(tag("li", tag("strong", value), tag("span", what)) for value, what in [*more, *facts.tiles(run)]),
        class_="tiles",
    )
    return tag("div", _top(main, len(found) > 1) if main else Html(""), verdict, tiles, class_="result")


def _top(score: facts.Score, several: bool) -> Html:
    what = (
        f"{facts.named(score.metric)}{f' of {score.slot}' if several else ''} on {score.figures['n']:,}"
        f" {score.split} {score.unit}"
    )
    interval = tag("p", f"95% interval {score.interval}", class_="interval") if score.interval else Html("")
    big = tag(
        "div",
        tag("p", what[:1].upper() + what[1:], class_="label"),
        tag("p", figure(score.value), class_="value"),
        interval,
        tag("p", score.figures["definition"], class_="definition"),
        class_="big",
    )
    block = facts.beside(score.judged)
    chart = (
        tag("div", tag("figure", both(lambda width: bars(block, width), BESIDE)), class_="beside")
        if score.beside
        else Html("")
    )
    return tag("div", big, chart, class_="top")


# --- chapters -------------------------------------------------------------------------------------


def _chapters(
    run: Run,
    sections: Sequence[Section],
    findings: Sequence[Finding],
    example: Mapping[str, Any],
    private: bool,
    limits: Limits,
) -> list[Chapter]:
    """All of them in order: asked and decided, the data, how it learned, how good it is, every question,
    cost, use, machine."""
    rows = [section for section in sections if section.name == "rows"]
    asked = [section for section in sections if section.name not in ("rows", *LAST)]
    data = chapter(facts.data(run, private), limits, "The making")
    whole = joined([_shares(run), data.body, _rows(rows, private, limits), _findings(findings, private)])
    data = Chapter(data.name, data.title, data.answer, whole, data.group)
    learned, at = facts.curves(run), run.path.absolute()
    return [
        chapter(decisions.asked(run), limits, "The making"),
        chapter(decisions.decided(run), limits, "The making"),
        data,
        *([_side_by_side(learned, limits)] if learned else []),
        chapter(facts.metrics(run), limits, "The result"),
        *(chapter(section, limits, "The result") for section in asked),
        *(chapter(section, limits, "The rest") for section in sections if section.name in LAST),
        chapter(use(run, example, private, at), limits, "The rest"),
        chapter(reproduce(run, at), limits, "The rest"),
        chapter(facts.machine(run), limits, "The rest"),
    ]


def chapter(section: Section, limits: Limits = ROOMY, group: str = "") -> Chapter:
    """A section as a part of a page."""
    return Chapter(
        section.name,
        section.title,
        section.headline,
        joined(drawn(block, limits) for block in section.blocks),
        group,
    )


def _side_by_side(section: Section, limits: Limits) -> Chapter:
    """Curves two in a row, where there is room."""
    if len(section.blocks) < 2:
        return chapter(section, limits, "The making")
    odd = len(section.blocks) % 2
    drawings = [
        curves(block, limits, WIDE if odd and not i else HALF)
        for i, block in enumerate(section.blocks)
        if isinstance(block, Lines)
    ]
    return Chapter(
        section.name,
        section.title,
        section.headline,
        tag("div", *drawings, class_="halves odd" if odd else "halves"),
        "The making",
    )


def _shares(run: Run) -> Html:
    """Rows per split as one bar in three colours."""
    rows = {split: count for split, count in run.record.get("rows", {}).items() if count}
    parts = [
        tag("span", class_=f"s{i + 1}", style=f"flex:{count}", title=f"{count:,} {split}")
        for i, (split, count) in enumerate(rows.items())
    ]
    told = [
        tag("li", tag("i", class_=f"s{i + 1}"), f"{split} {count:,}")
        for i, (split, count) in enumerate(rows.items())
    ]
    return (
        joined([tag("div", *parts, class_="shares", aria_hidden="true"), tag("ul", *told, class_="legend")])
        if rows
        else Html("")
    )


def _rows(rows: Sequence[Section], private: bool, limits: Limits) -> Html:
    """Sample rows, or why there are none."""
    if not private:
        return tag("p", "Rows of the data are not shown here (--no-samples).", class_="said")
    return joined(
        joined([tag("h3", one.title), *(drawn(block, limits) for block in one.blocks)])
        for one in rows
        if one.blocks
    )


_FLAG = re.compile(r"mapsto \w+[^,(`]*[^,(`\s]|--[a-z][a-z-]*(?: [^\s,(`]+)?")  # what is typed, in a sentence
LEVELS = {"stop": "stops training", "warn": "warning", "note": "note"}


def _findings(findings: Sequence[Finding], private: bool) -> Html:
    """What the data gate found, worst first: what, what it does to the result, what mends it."""
    if not findings:
        return Html("")
    order = sorted(
        findings, key=lambda one: list(LEVELS).index(one.level) if one.level in LEVELS else len(LEVELS)
    )
    return joined(
        [
            tag("h3", "What the data gate found"),
            tag("ul", *(_finding(one, private) for one in order), class_="findings"),
        ]
    )


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


def unanswered(name: str, title: str, why: str) -> Section:
    """A question that could not be answered, as a section that says so."""
    return Section(name, title, "This could not be answered.", (Paragraph(why),))
