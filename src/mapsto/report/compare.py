"""Runs side by side: which is better on the test rows that all of them had, is that more than chance, and at
what cost.

Only rows that every run was tested on count, so none of them has learned from any. Several runs make several
comparisons, and of many one seems large by chance: p-values are Holm's, so that all differences called sure
hold together with 95% confidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.blocks import Bars, Block, Paragraph, Section, Table
from mapsto.errors import ConfigError, DataError, RunError, did_you_mean
from mapsto.files import disk_error, write_text
from mapsto.measure.predictions import TestPredictions, common
from mapsto.measure.scores import interval
from mapsto.measure.significance import LEVEL, Difference, difference, holm
from mapsto.metrics import Metric, ratio_of
from mapsto.outputs.base import Output
from mapsto.prediction import any_known
from mapsto.report.facts import named
from mapsto.report.layout import chapter
from mapsto.report.markup import data_text, tag
from mapsto.report.page import document
from mapsto.report.runs import called, cost, opened, settings
from mapsto.report.scales import figure
from mapsto.run import Run

PAGE = "compare.html"


@dataclass(frozen=True)
class Contest:
    """One output of all runs on their common test rows. runs: names; metric: the one that decides, among
    metrics; kept: where answers are of unequal length, what each run kept in place of them;
    statistics[metric][run]: what the metric knows of each row, (n, k); said: what should be known of the
    rows."""

    slot: str
    output: Output
    metric: Metric
    names: tuple[str, ...]
    predicted: tuple[Mapping[str, np.ndarray], ...]
    target: np.ndarray
    groups: np.ndarray | None
    said: tuple[str, ...]
    metrics: tuple[Metric, ...]
    kept: tuple[Mapping[str, np.ndarray], ...] = ()

    @cached_property
    def statistics(self) -> dict[str, list[np.ndarray]]:
        if self.kept:
            return {
                metric.name: [one[metric.name].astype(np.float64) for one in self.kept]
                for metric in self.metrics
            }
        return {
            metric.name: [np.asarray(metric.rows(one, self.target), np.float64) for one in self.predicted]
            for metric in self.metrics
        }

    @cached_property
    def values(self) -> dict[str, list[float]]:
        return {
            metric.name: [metric.reduce(found) for found in self.statistics[metric.name]]
            for metric in self.metrics
        }

    @cached_property
    def order(self) -> list[int]:
        """Runs from the best on, by the metric that decides."""
        sign = -1 if self.metric.higher_is_better else 1
        return sorted(range(len(self.names)), key=lambda i: sign * self.values[self.metric.name][i])

    @cached_property
    def pairs(self) -> dict[tuple[int, int], Difference]:
        """Of each two runs (the better first) the difference by the metric that decides, with p-values that
        hold together."""
        found = {(i, j): self.between(self.metric, i, j) for i, j in combinations(self.order, 2)}
        known = {pair: one for pair, one in found.items() if one is not None}
        adjusted = holm([one.p for one in known.values()])
        return {
            pair: Difference(**{**vars(one), "p": p})
            for (pair, one), p in zip(known.items(), adjusted, strict=True)
        }

    def between(self, metric: Metric, i: int, j: int) -> Difference | None:
        return difference(
            metric, self.statistics[metric.name][i], self.statistics[metric.name][j], self.groups
        )


# --- which rows and outputs -----------------------------------------------------------------------


def contests(runs: Sequence[Run], asked: str | None = None) -> list[Contest]:
    """A contest of each output that all runs have. asked: METRIC or METRIC@OUTPUT, which decides. DataError
    where they share no output or no test row."""
    outputs = [{slot.name: slot.type for slot in run.signature.outputs} for run in runs]
    shared = [name for name, kind in outputs[0].items() if all(other.get(name) == kind for other in outputs)]
    if not shared:
        told = "; ".join(
            f"{name}: {', '.join(f'{slot}:{kind}' for slot, kind in found.items())}"
            for name, found in zip(called(runs), outputs, strict=True)
        )
        raise DataError(
            f"these runs have no output in common ({told}).\nCompare runs that learned the same target."
        )
    metric, _, where = (asked or "").partition("@")
    if where and where not in shared:
        raise ConfigError(f"--metric {asked}: no common output '{where}'.\n{did_you_mean(where, shared)}")
    return [_contest(runs, slot, metric if where in ("", slot) else "") for slot in shared]


def _contest(runs: Sequence[Run], slot: str, asked: str) -> Contest:
    names = called(runs)
    kept = [_kept(run, slot) for run in runs]
    same = len({run.record["data"]["fingerprint"] for run in runs}) == 1
    rows = common(kept, same)
    if not len(rows[0]):
        counts = " and ".join(f"{len(one):,}" for one in kept)
        raise DataError(
            f"'{slot}': none of the {counts} test rows that the runs kept is in all of them.\n"
            "Train them on the same data, or with the same test rows: --test FILE"
        )
    measured = [bool(one.statistics) for one in rows]
    if any(measured) and not all(measured):
        raise _nothing_in_common(slot)
    output, spoken = _in_one_language([run.output(slot) for run in runs], rows)
    equal = np.all([_equal(spoken[0][1], target) for _, target in spoken[1:]], 0)
    agree = equal & np.all([any_known(one.present) for one in rows], 0)
    said = _said(kept, rows, int((~equal).sum()), same)
    if not agree.any():
        raise DataError(
            f"'{slot}': of {len(agree):,} common test rows none has the same answer in all runs.\nCompare"
            " runs that learned the same target."
        )
    groups = rows[0].groups[agree] if len(rows[0].groups) else None
    predicted = tuple(_of_rows(found, agree) for found, _ in spoken)
    kept_of = tuple(_of_rows(one.statistics, agree) for one in rows) if all(measured) else ()
    merged = {metric.name: metric for metric in output.metrics}
    metrics = tuple(
        merged.get(metric.name, metric)
        for metric in runs[0].metrics_of(slot)
        if all(metric.name in one for one in kept_of)
    )
    fair = [metric for metric in metrics if _same_unit(metric, kept_of)]
    metric = _metric(metrics, fair, asked, slot)
    if len(fair) < len(metrics):
        apart = ", ".join(named(one.name) for one in metrics if one not in fair)
        said = (
            *said,
            f"The runs divide texts into other tokens, of which {apart} is a mean: it cannot be compared.",
        )
    return Contest(
        slot=slot,
        output=output,
        metric=metric,
        names=names,
        predicted=predicted,
        target=spoken[0][1][agree],
        groups=groups,
        said=said,
        metrics=metrics,
        kept=kept_of,
    )


def _of_rows(found: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in found.items()}


def _in_one_language(
    outputs: Sequence[Output], rows: Sequence[TestPredictions]
) -> tuple[Output, list[tuple[Mapping[str, np.ndarray], np.ndarray]]]:
    """(what all runs' outputs are when merged, (predictions, targets) of each run as that one has them)."""
    merged = outputs[0]
    for other in outputs[1:]:
        merged = merged.merged_with(other)
    return merged, [
        one.translate_to(merged, tested.predicted, tested.target)
        for one, tested in zip(outputs, rows, strict=True)
    ]


def _nothing_in_common(slot: str) -> DataError:
    return DataError(
        f"'{slot}': the runs measure nothing in common.\nCompare runs that learned the same target in the"
        " same way."
    )


def _kept(run: Run, slot: str) -> TestPredictions:
    found = TestPredictions.load(run.path, [one.name for one in run.signature.outputs].index(slot))
    if found is None:
        raise RunError(
            f"{run.path}: keeps no predictions of '{slot}' on test rows: none were held back, or an older"
            " mapsto made it.\nTrain it again to compare it."
        )
    return found


def _equal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,): rows whose answers are the same, unknown ones too."""
    same = np.asarray(np.isclose(a, b, rtol=1e-6, atol=0, equal_nan=True) if a.dtype.kind == "f" else a == b)
    return np.asarray(same.all(axis=tuple(range(1, same.ndim))))


def _said(
    kept: Sequence[TestPredictions], rows: Sequence[TestPredictions], other: int, same_data: bool
) -> tuple[str, ...]:
    """How rows were matched, where it is not plain."""
    said = []
    if any(len(one) > len(rows[0]) for one in kept):
        counts = ", ".join(f"{len(rows[0]):,} of {len(one):,}" for one in kept)
        said.append(
            f"Not all test rows are common: of those that the runs kept, {counts} count here. Train with"
            " --test FILE to test on the same."
        )
    if not same_data:
        said.append("The runs were made from different data; rows with equal inputs were taken for the same.")
    if other:
        said.append(f"{other:,} common rows have different answers in the runs' data and are left out.")
    return tuple(said)


def _same_unit(metric: Metric, kept: Sequence[Mapping[str, np.ndarray]]) -> bool:
    """Is it, in every run, a mean over equally many things of each row?"""
    return metric.reduce is not ratio_of or all(
        np.array_equal(one[metric.name][:, 1], kept[0][metric.name][:, 1]) for one in kept[1:]
    )


def _metric(metrics: Sequence[Metric], fair: Sequence[Metric], asked: str, slot: str) -> Metric:
    """fair: those of `metrics` that mean the same in every run; one of them decides, unless another is asked
    for."""
    if not fair:
        raise _nothing_in_common(slot)
    known = {metric.name: metric for metric in metrics}
    if asked and asked not in known:
        raise ConfigError(f"--metric: '{slot}' has no metric '{asked}'.\n{did_you_mean(asked, known)}")
    return known[asked] if asked else fair[0]


# --- what is said ---------------------------------------------------------------------------------


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
    between = (
        f", 95% interval {figure(one.low)} – {figure(one.high)}"
        if one.low is not None and one.high is not None
        else ""
    )
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
    """The runs, and all that is said of them together."""
    runs = opened(paths)
    found = contests(runs, metric)
    several = len(found) > 1
    sections = [which(contest, several) for contest in found]
    return runs, [*sections, cost(runs), *(metrics(contest, several) for contest in found), settings(runs)]


def write_page(runs: Sequence[Run], sections: Sequence[Section], out: Path | None = None) -> Path:
    """The page of a comparison, beside the first run unless told where; its path."""
    out = out or runs[0].path.parent / PAGE
    names = called(runs)
    head = tag(
        "header",
        tag("p", f"{len(runs)} runs compared", class_="kicker"),
        tag("h1", data_text(" against ".join(names) if len(names) == 2 else ", ".join(names), 160)),
        tag("p", tag("code", data_text(runs[0].record.get("signature_text", ""), 220)), class_="map"),
        class_="hero",
    )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise disk_error(out, problem) from None
    write_text(out, document(" against ".join(names), head, [chapter(section) for section in sections]))
    return out


def _between(low: float | None, high: float | None) -> str | None:
    return (
        None
        if low is None or high is None or not np.isfinite([low, high]).all()
        else f"{figure(low)} to {figure(high)}"
    )


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
