"""Several runs on the rows that all of them were tested on, output by output: which rows these are, what each
run said of them, and what a metric makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from mapsto.errors import ConfigError, DataError, RunError, did_you_mean
from mapsto.measure.predictions import TestPredictions, common
from mapsto.measure.significance import Difference, difference, holm
from mapsto.metrics import Metric, ratio_of
from mapsto.outputs.base import Output
from mapsto.prediction import any_known
from mapsto.report.facts import named
from mapsto.report.runs import called
from mapsto.run import Run


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
