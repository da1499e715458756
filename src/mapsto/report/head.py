"""The head of a run's page: what it learned, the figure that matters with its interval among its baselines,
and the verdict."""

from __future__ import annotations

from collections.abc import Sequence

from mapsto.blocks import Section
from mapsto.report import decisions, facts, leaderboard
from mapsto.report.figures import bars, both
from mapsto.report.markup import Html, data_text, prose, tag
from mapsto.report.scales import figure
from mapsto.run import Run

BESIDE = 540  # pixels of the head's bars


def hero(run: Run, sections: Sequence[Section]) -> Html:
    """What it learned, the figure that matters with its interval, beside what is simple."""
    found = facts.scores(run, sections)
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
    said = [tag("p", prose(sentence)) for sentence in facts.verdicts(found)]
    verdict = tag("div", *said, class_="verdict poor" if poor else "verdict")
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
    block = leaderboard.beside(score.judged)
    chart = (
        tag("div", tag("figure", both(lambda width: bars(block, width), BESIDE)), class_="beside")
        if score.beside
        else Html("")
    )
    return tag("div", big, chart, class_="top")
