"""A run as one page: self-contained html that asks nothing of anybody. No script, no font, no address but its
own.

page(run, sections, findings)   the text of report.html, at most MOST_BYTES long
document(title, head, chapters) any other page of sections, such as a comparison
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from mapsto.blocks import Lines, Paragraph, Section, Table
from mapsto.checks.base import Finding
from mapsto.config import VERSION
from mapsto.report import decisions, facts, gate, leaderboard
from mapsto.report.drawn import curves, drawn
from mapsto.report.figures import HALF, WIDE
from mapsto.report.frame import ROOMY, Limits
from mapsto.report.head import hero
from mapsto.report.layout import Chapter, chapter, first_figure, fitted, folded
from mapsto.report.markup import Html, joined, prose, safe, tag
from mapsto.report.next_steps import next_steps
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
SIGNS = {"good": ("✓", "all is well"), "look": ("!", "worth a look")}
LAST = ("cost",)  # questions about the making rather than the made stand behind the others
# Nothing may be loaded, wherever the page is opened: not even where a cell of the data slipped through.
POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none';"
    " form-action 'none'"
)


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
        note = "" if limits is ROOMY else _smaller(limits)
        written = document(run.record["data"]["name"], hero(run, sections), chapters, note)
        if len(written.encode()) <= MOST_BYTES:
            return written
    bare = [
        Chapter(c.name, c.title, c.answer, safe("Left out: the page would be larger than 3 MB. "), c.group)
        for c in chapters
    ]
    return document(run.record["data"]["name"], hero(run, sections), bare, "")


def _smaller(limits: Limits) -> str:
    pictures = f"pictures are at most {limits.side} pixels wide" if limits.side else "pictures are left out"
    return (
        f"So that this page stays below 3 MB, {pictures}, and long tables and galleries are cut;"
        " `sections.json` in the run has all of them."
    )


def document(title: str, head: Html, chapters: Sequence[Chapter], note: str = "") -> str:
    """A whole page of chapters with its table of contents."""
    inside = [
        tag("section", tag("h2", one.title), _answer(one.answer), one.body, folded(one), id=one.name)
        for one in chapters
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
        items.append(tag("li", tag("a", _sign(one.sign), one.title, href=f"#{one.name}")))
    return tag("ul", *items, class_="toc")


def _sign(sign: str) -> Html:
    """A mark before a title: is all well there, or is it worth a look?"""
    if sign not in SIGNS:
        return Html("")
    mark, said = SIGNS[sign]
    return tag("span", mark, class_=f"sign {sign}", title=said, role="img", aria_label=said)


def _answer(text: str) -> Html:
    return tag("p", prose(text), class_="answer") if text else Html("")


# --- chapters -------------------------------------------------------------------------------------


def _chapters(
    run: Run,
    sections: Sequence[Section],
    findings: Sequence[Finding],
    example: Mapping[str, Any],
    private: bool,
    limits: Limits,
) -> list[Chapter]:
    """All of them in order: how good it is and what to do, every question, then how it was made and is used,
    folded."""
    at, learned = run.path.absolute(), facts.curves(run)
    asked = [one for one in sections if one.name not in ("rows", facts.PAIRED, *LAST)]
    questions = [chapter(one, limits, "The questions", first_figure(one.blocks)) for one in asked]
    making = [
        chapter(decisions.asked(run), limits, "The making").shut(),
        chapter(decisions.decided(run), limits, "The making").shut(),
        _data(run, [one for one in sections if one.name == "rows"], findings, private, limits),
        *([_side_by_side(learned, limits).shut()] if learned else []),
    ]
    last = [
        *(one for one in sections if one.name in LAST),
        use(run, example, private, at),
        reproduce(run, at),
        facts.machine(run),
    ]
    steps = next_steps(run, sections, findings, at)
    first = [_how_good(run, sections, limits), chapter(steps, limits, "The answer")]
    rest = [*making, *(chapter(one, limits, "The rest").shut() for one in last)]
    return [*first, *fitted(questions, [*first, *rest]), *rest]


def _how_good(run: Run, sections: Sequence[Section], limits: Limits) -> Chapter:
    """The leaderboards in sight, every other metric folded."""
    section = leaderboard.metrics(run, sections)
    boards = sum(isinstance(block, Table) and bool(block.marked) for block in section.blocks)
    lead = [i for i, block in enumerate(section.blocks) if isinstance(block, Table)][: max(1, boards)]
    return chapter(section, limits, "The answer", lead[-1] + 1 if lead else None)


def _data(
    run: Run, rows: Sequence[Section], findings: Sequence[Finding], private: bool, limits: Limits
) -> Chapter:
    """Shares and what is wrong in sight; columns, sample rows and what was merely noticed folded."""
    whole = chapter(facts.data(run, private), limits, "The making")
    serious, notes = gate.serious(findings), gate.notes(findings)
    return replace(
        whole,
        body=joined([_shares(run), gate.listed(serious, private)]),
        more=joined([whole.body, _rows(rows, private, limits), gate.listed(notes, private)]),
        hint="More: the columns, some rows, what was noticed",
        sign="look" if serious else "",
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


def unanswered(name: str, title: str, why: str) -> Section:
    """A question that could not be answered, as a section that says so."""
    return Section(name, title, "This could not be answered.", (Paragraph(why),))
