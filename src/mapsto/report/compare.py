"""Runs side by side: which is better on the test rows that all of them had, is that more than chance, and at
what cost.

Only rows that every run was tested on count, so none of them has learned from any. Several runs make several
comparisons, and of many one seems large by chance: p-values are Holm's, so that all differences called sure
hold together with 95% confidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.blocks import Bars, Block, Paragraph, Section, Table
from mapsto.files import disk_error, write_text
from mapsto.measure.scores import interval
from mapsto.measure.significance import LEVEL, Difference
from mapsto.report.contest import Contest, contests
from mapsto.report.facts import named
from mapsto.report.layout import Chapter, chapter
from mapsto.report.markup import data_text, prose, tag
from mapsto.report.page import document
from mapsto.report.runs import called, cost, curves, opened, settings
from mapsto.report.scales import figure, span
from mapsto.run import Run

PAGE = "compare.html"


def verdict(contest: Contest) -> str:
    """Which is better, and is it chance? In one or two sentences."""
    metric, values, names = named(contest.metric.name), contest.values[contest.metric.name], contest.names
    best, *others = contest.order
    n = f"{len(contest.target):,} test rows"
    if not np.isfinite(values).all():
        return f"It cannot be told: {metric} is not defined on the {n} that they have in common."
    if len(others) == 1:
        one = contest.pairs[best, others[0]]
        both = f"{metric} {figure(values[best])} against {figure(values[others[0]])} on the same {n}"
        if one.p < LEVEL:
            return f"{names[best]} is better: {both}, {_gap(one)}."
        return (
            f"Which is better cannot be told: {both} ({names[best]} first), {_gap(one)}: chance makes as"
            " much."
        )
    sure = [names[i] for i in others if contest.pairs[best, i].p < LEVEL]
    open_ = [names[i] for i in others if contest.pairs[best, i].p >= LEVEL]
    told = f"{names[best]} comes first: {metric} {figure(values[best])} on the same {n}."
    told += f" It is better than {_listed(sure)} for sure." if sure else ""
    return told + (
        f" Whether it is better than {_listed(open_)} cannot be told: chance makes as much." if open_ else ""
    )


def _gap(one: Difference) -> str:
    ends = span(one.low, one.high)
    between = f", 95% interval {ends}" if ends else ""
    return (
        f"a difference of {figure(one.value)}{between}; p {_p(one.p) if one.p < 0.001 else f'= {_p(one.p)}'},"
        f" {one.test}"
    )


def _p(p: float | None) -> str | None:
    return None if p is None else "< .001" if p < 0.001 else f"{p:.3f}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def which(contest: Contest, several: bool) -> Section:
    """The answer, with the metric that decides: values, and differences from the best."""
    metric, best = contest.metric, contest.order[0]
    rows, ends = [], []
    for i in contest.order:
        low, high = interval(contest.statistics[metric.name][i], metric, contest.groups)
        ends.append((low, high))
        gap = _from_the_best(contest.pairs.get((best, i)))
        rows.append((contest.names[i], contest.values[metric.name][i], _between(low, high), *gap))
    columns = (
        "run",
        named(metric.name),
        "95% interval",
        "difference from the best",
        "95% interval of it",
        "p",
    )
    caption = (
        f"{metric.definition} On {len(contest.target):,} test rows that all runs had. p: how often chance"
        " makes a difference as large."
    )
    bars = Bars(
        tuple(row[0] for row in rows),
        tuple(_finite(row[1]) for row in rows),
        named(metric.name),
        low=tuple(_finite(low) for low, _ in ends),
        high=tuple(_finite(high) for _, high in ends),
        marked=(0,),
    )
    blocks: list[Block] = [bars, Table(columns, tuple(tuple(map(_finite, row)) for row in rows), caption)]
    blocks += (
        [Table(("of", "against", "difference", "95% interval", "p"), _pair_rows(contest), "Every two runs.")]
        if len(contest.names) > 2
        else []
    )
    blocks += [Paragraph("\n".join(f"- {sentence}" for sentence in contest.said))] if contest.said else []
    title = f"Which is better at {contest.slot}?" if several else "Which is better?"
    return Section(f"which-{contest.slot}", title, verdict(contest), tuple(blocks), figures(contest))


def _from_the_best(one: Difference | None) -> tuple[float | None, str | None, str | None]:
    """(difference, interval, p) of another run from the best, which `one` has the other way round."""
    if one is None:
        return None, None, None
    low = None if one.high is None else -one.high
    high = None if one.low is None else -one.low
    return -one.value, _between(low, high), _p(one.p)


def _pair_rows(contest: Contest) -> tuple[tuple[Any, ...], ...]:
    return tuple(
        (contest.names[i], contest.names[j], one.value, _between(one.low, one.high), _p(one.p))
        for (i, j), one in contest.pairs.items()
    )


def figures(contest: Contest) -> dict[str, Any]:
    """The numbers behind the answer, for programs."""
    pairs = [
        {"of": contest.names[i], "against": contest.names[j], **vars(one), "sure": one.p < LEVEL}
        for (i, j), one in contest.pairs.items()
    ]
    values = {
        name: {run: _finite(value) for run, value in zip(contest.names, found, strict=True)}
        for name, found in contest.values.items()
    }
    return {
        "metric": contest.metric.name,
        "n": len(contest.target),
        "order": [contest.names[i] for i in contest.order],
        "values": values,
        "pairs": pairs,
    }


def metrics(contest: Contest, several: bool) -> Section:
    """Every metric of every run, with the difference of the best two by the metric that decides."""
    first, second = contest.order[:2]
    rows = []
    for metric in contest.metrics:
        one = contest.between(metric, first, second)
        gap = (None, None, None) if one is None else (one.value, _between(one.low, one.high), _p(one.p))
        rows.append(
            (
                named(metric.name),
                "more" if metric.higher_is_better else "less",
                *(_finite(contest.values[metric.name][i]) for i in contest.order),
                *gap,
            )
        )
    columns = (
        "metric",
        "better is",
        *(contest.names[i] for i in contest.order),
        "difference of the first two",
        "95% interval",
        "p",
    )
    title = (
        f"How do they differ by other measures of {contest.slot}?"
        if several
        else "How do they differ by other measures?"
    )
    told = "p-values here stand alone: of several measures one may seem sure by chance."
    return Section(f"metrics-{contest.slot}", title, told, (Table(columns, tuple(rows)), *_apart(contest)))


def _apart(contest: Contest) -> list[Block]:
    """How often the first two are right and wrong together, or for numbers, whose answer is nearer."""
    output, (first, second) = contest.output, contest.order[:2]
    if output.row_loss is None or output.wrong is None:
        return []
    a, b = contest.names[first], contest.names[second]
    if output.graded:
        gap = output.row_loss(contest.predicted[first], contest.target) - output.row_loss(
            contest.predicted[second], contest.target
        )
        parts = [(f"{a} is nearer", gap < 0), (f"{b} is nearer", gap > 0), ("equally near", gap == 0)]
    else:
        wrong = [output.wrong(contest.predicted[i], contest.target) for i in (first, second)]
        parts = [("both right", ~wrong[0] & ~wrong[1]), (f"only {a} right", ~wrong[0] & wrong[1])]
        parts += [(f"only {b} right", wrong[0] & ~wrong[1]), ("both wrong", wrong[0] & wrong[1])]
    return [
        Table(
            ("answer", "rows", "share"),
            tuple((name, int(part.sum()), float(part.mean())) for name, part in parts),
            f"{a} and {b}, row by row.",
        )
    ]


def compared(paths: Sequence[str | Path], metric: str | None = None) -> tuple[list[Run], list[Section]]:
    """The runs, and all that is said of them together, what differs between them first."""
    runs = opened(paths)
    found = contests(runs, metric)
    several = len(found) > 1
    answers = [which(contest, several) for contest in found]
    learned = [one for contest in found if (one := curves(runs, contest.slot, contest.metric.name, several))]
    others = [metrics(contest, several) for contest in found]
    return runs, [settings(runs), *answers, cost(runs), *learned, *others]


def write_page(runs: Sequence[Run], sections: Sequence[Section], out: Path | None = None) -> Path:
    """The page of a comparison, beside the first run unless told where; its path."""
    out = out or runs[0].path.parent / PAGE
    names = called(runs)
    answers = [tag("p", prose(one.headline)) for one in sections if one.figures]
    head = tag(
        "header",
        tag("p", f"{len(runs)} runs compared", class_="kicker"),
        tag("h1", data_text(" against ".join(names) if len(names) == 2 else ", ".join(names), 160)),
        tag("p", tag("code", data_text(runs[0].record.get("signature_text", ""), 220)), class_="map"),
        tag("p", data_text("; ".join(map(_placed, names, runs)), 600), class_="said"),
        tag("div", tag("div", *answers, class_="verdict"), class_="result"),
        class_="hero",
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise disk_error(out, problem) from None
    write_text(out, document(" against ".join(names), head, list(map(_chapter, sections))))
    return out


def _placed(name: str, run: Run) -> str:
    """A name with the folder it stands for."""
    return f"{name}: {run.path}"


def _chapter(section: Section) -> Chapter:
    """With its first table in sight, and what stands before it."""
    tables = [i for i, block in enumerate(section.blocks) if isinstance(block, Table)]
    return chapter(section, lead=tables[0] + 1 if tables else None)


def _between(low: float | None, high: float | None) -> str | None:
    return span(low, high, "to") or None


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
