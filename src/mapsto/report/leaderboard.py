"""How good it is: the net among its baselines, and every metric of every split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mapsto.blocks import Bars, Block, Paragraph, Section, Table
from mapsto.report.facts import Paired, Score, first_verdict, named, scored, scores, unit, verdict
from mapsto.report.learning import held_out
from mapsto.report.scales import MINUS, figure, span
from mapsto.run import Run
from mapsto.terminal.words import duration

NET = "this net"


def metrics(run: Run, sections: Sequence[Section] = ()) -> Section:
    """The leaderboard of each output, then every metric with its interval. sections: what was asked of the
    run, by which the net and its baselines are compared row by row."""
    found, split = scores(run, sections), scored(run)
    first: list[Block] = []
    rest: list[Block] = []
    for score in found:
        several = len(found) > 1
        board = leaderboard(score, _times(run, sections))
        first += [Paragraph(f"# {score.slot}\n{verdict(score)}")] if several and board else []
        first += [board] if board else []
        table = _metric_table(run, score.slot, split)
        (rest if board else first).append(table)
        rest += [_folds(run, score.slot)] if "folds" in run.metrics else []
    meanings = {
        named(name): one["definition"]
        for score in found
        for name, one in run.metrics[split][score.slot].items()
    }
    if meanings:
        intervals = run.metrics.get("interval", "").replace("--group", "`--group`")
        rest.append(
            Table(("", ""), tuple(meanings.items()), f"What the metrics mean. Intervals: {intervals}.")
        )
    sign = "" if split != "test" or not found else "look" if any(one.poor for one in found) else "good"
    good = sum(not one.poor for one in found)
    told = (
        f"Better than their baselines: {good} of {len(found)} outputs."
        if len(found) > 1
        else first_verdict(found)
    )
    return Section("metrics", "How good it is", told, (*first, *rest), sign=sign)


def leaderboard(score: Score, times: str = "") -> Table | None:
    """The net and its baselines by the metric that matters, best first. None where there is no baseline.
    times: what the net took, and takes, in a sentence."""
    one = score.judged
    if not one.beside:
        return None
    sign = -1 if one.higher_is_better else 1
    known = {NET: one.figures, **one.beside}
    order = sorted(known, key=lambda name: _worth(known[name]["value"], sign))
    rows = [
        (
            name,
            known[name]["value"],
            span(known[name]["low"], known[name]["high"]) or None,
            *_beside(score.paired, name),
        )
        for name in order
    ]
    direction = "higher is better" if one.higher_is_better else "lower is better"
    caption = f"On the same {one.figures['n']:,} {one.split} {one.unit}; {direction}."
    columns: tuple[str, ...] = ("", named(one.metric), "95% interval")
    if score.paired is not None:
        metric = named(score.paired.metric)
        columns += (f"difference in {metric}", "95% interval of it", "the net is")
        caption += " Difference: the net's less the baseline's, row by row."
    caption += f" {times}" if times else ""
    return Table(columns, tuple(rows), caption, (order.index(NET),))


def _times(run: Run, sections: Sequence[Section]) -> str:
    """How long the net learned and how long it takes for an answer, where that is known."""
    seconds = run.record.get("seconds")
    costs = (one.figures.get("milliseconds", {}).get("64") for one in sections if one.name == "cost")
    known = next((float(one) for one in costs if one), None)
    answer = f"an answer takes {figure(known)} ms, among 64 asked for together" if known else ""
    learned = f"it learned in {duration(seconds)}" if seconds else ""
    told = "; ".join(filter(None, [learned, answer]))
    return f"This net: {told}." if told else ""


def _worth(value: float | None, sign: int) -> tuple[bool, float]:
    return value is None, sign * (value or 0)


def _beside(paired: Paired | None, name: str) -> tuple[str | None, ...]:
    """What the net gains or loses against one baseline, by the paired test."""
    if paired is None:
        return ()
    one = paired.against.get(name)
    if one is None:
        return None, None, None
    sign = MINUS if one["difference"] < 0 else "+" if one["difference"] else ""
    verdict = "better" if one["better"] else "worse" if one["worse"] else "not told apart"
    return f"{sign}{figure(abs(one['difference']))}", span(one["low"], one["high"]) or None, verdict


def beside(score: Score) -> Bars:
    """The net and its baselines, best first."""
    sign = -1 if score.higher_is_better else 1
    known = {NET: score.figures, **score.beside}
    order = sorted(known, key=lambda name: _worth(known[name]["value"], sign))
    shown = [(name, known[name]) for name in order]
    values, lows, highs = (tuple(one[key] for _, one in shown) for key in ("value", "low", "high"))
    direction = "higher is better" if score.higher_is_better else "lower is better"
    return Bars(
        tuple(name for name, _ in shown),
        values,
        f"{named(score.metric)} ({direction})",
        "",
        lows,
        highs,
        marked=(order.index(NET),),
    )


def _metric_table(run: Run, slot: str, split: str) -> Table:
    rivals = run.metrics.get("baselines", {}).get(slot, {}) if split == "test" else {}
    others = [
        name for name in ("validation", "train") if name != split and run.metrics.get(name, {}).get(slot)
    ]
    parts = (
        run.metrics.get("parts", {}) if split == "test" else {}
    )  # rows of before others were added, and those
    found = [
        *rivals.values(),
        *(run.metrics[other][slot] for other in others),
        *(part.get(slot, {}) for part in parts.values()),
    ]
    rows = []
    for name, one in run.metrics[split][slot].items():
        interval = span(one["low"], one["high"]) or None
        side = [scores.get(name, {}).get("value") for scores in found]
        scale = " (0–100)" if "0 to 100" in one["definition"] else ""
        rows.append(
            (
                named(name) + scale,
                figure(one["value"]),
                interval,
                *(None if value is None else figure(value) for value in side),
                one["n"],
            )
        )
    columns = (
        "metric",
        split,
        "95% interval",
        *rivals,
        *others,
        *(f"rows {part}" for part in parts),
        unit(run, slot),
    )
    return Table(columns, tuple(rows), _metric_caption(run, slot, split, bool(rivals), others, parts))


def _metric_caption(
    run: Run, slot: str, split: str, rivals: bool, others: Sequence[str], parts: Mapping[str, Any]
) -> str:
    """What the columns of a table of metrics are."""
    caption = f"Figures on {split} {unit(run, slot)}"
    caption += ", beside simple baselines on the same rows." if rivals else "."
    if others:
        caption += f" {held_out(run).capitalize()} chose the weights, training rows made them."
    if parts:
        caption += (
            " Rows before: the test rows it had before others were added; rows added: those of the new ones."
        )
    return caption


def _folds(run: Run, slot: str) -> Table:
    names = list(run.metrics["test"][slot])
    rows = [
        (i + 1, *(figure(fold[slot][name]["value"]) for name in names))
        for i, fold in enumerate(run.metrics["folds"])
    ]
    caption = "Each fold's net on the rows it had not seen; the figures above are of all of them together."
    return Table(("fold", *map(named, names)), tuple(rows), caption)
