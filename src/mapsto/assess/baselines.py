"""Is the net better than what is simple: each baseline of the training on the same rows, and whether the
difference is chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mapsto.assess.base import View, short
from mapsto.blocks import Section, Table
from mapsto.files import read_arrays
from mapsto.measure.intervals import difference
from mapsto.metrics import Metric
from mapsto.registry import entry

TITLE = "Is it better than something simple?"
NAMES: Mapping[str, str] = {
    "linear": "a linear model",
    "nearest": "five nearest neighbours",
    "boosting": "boosted trees",
}  # others are always one answer

SEVERAL = ("nearest", "boosting")  # are plural


def asks(view: View) -> bool:
    return bool(_kept(view)) and bool(_outputs(view))


def assess(view: View, seconds: float) -> Section:
    headlines, table, marked, figures = [], [], [], {}
    kept = _kept(view)
    numbers = {slot.name: number for number, slot in enumerate(view.run.signature.outputs)}
    for slot in _outputs(view):
        metric = view.output(slot).row_metric
        assert metric is not None
        mine = f"{numbers[slot]}."
        found = {name.removeprefix(mine): rows for name, rows in kept.items() if name.startswith(mine)}
        compared = [
            _compared(view, slot, metric, name, statistics, kept["rows"])
            for name, statistics in found.items()
        ]
        headlines.append(
            view.titled(slot, _headline(metric, compared) if compared else "there is no baseline for it.")
        )
        figures[slot] = {one["against"]: one for one in compared}
        for one in compared:
            if not one["better"]:
                marked.append(len(table))
            ends = f"{short(one['low'], '+')} – {short(one['high'], '+')}" if one["low"] is not None else "—"
            table.append(
                (
                    slot,
                    _name(one["against"]),
                    metric.name,
                    one["net"],
                    one["value"],
                    short(one["difference"], "+"),
                    ends,
                )
            )
    splits = entry("learners", view.run.choice.learner).learns_from
    caption = (
        f"the net and each baseline on the same rows, learned from those of {' and '.join(splits)}; the"
        " difference is paired, with its 95% interval. Marked: not better beyond chance."
    )
    columns = ("output", "against", "metric", "net", "baseline", "difference", "95%")
    return Section(
        "baselines",
        TITLE,
        " ".join(headlines),
        (Table(columns, tuple(table), caption, tuple(marked)),),
        figures,
    )


def _kept(view: View) -> dict[str, np.ndarray]:
    """What training kept of its baselines on the run's own test rows; {} for other rows."""
    path = view.run.path / "baselines.npz"
    if view.split != "test" or not view.store.size("train") or not path.exists():
        return {}
    kept = read_arrays(path, ["rows"])
    return kept if np.isin(kept["rows"], view.held.rows).all() else {}


def _outputs(view: View) -> list[str]:
    return [slot for slot in view.outputs() if view.output(slot).row_metric]


def _name(baseline: str) -> str:
    return NAMES.get(baseline, f"always the {baseline}")


def _compared(
    view: View, slot: str, metric: Metric, name: str, theirs: np.ndarray, rows: np.ndarray
) -> dict[str, Any]:
    """The net and one baseline by the metric on the rows that both know an answer of. theirs: the metric's
    statistics of `rows`."""
    at = np.searchsorted(view.held.rows, rows)
    net, target = (
        {what: values[at] for what, values in view.held.predicted[slot].items()},
        view.held.target[slot][at],
    )
    ours = np.asarray(metric.rows(net, target), np.float64)
    known = (
        view.held.present[slot][at].reshape(len(target), -1).any(1)
        & ~np.isnan(ours).any(1)
        & ~np.isnan(theirs).any(1)
    )
    groups = view.group_of(rows[known])
    gain, low, high = difference(theirs[known], ours[known], groups)
    better = bool(low > 0 if metric.higher_is_better else high < 0)
    return {
        "against": name,
        "net": metric.reduce(ours[known]),
        "value": metric.reduce(theirs[known]),
        "difference": gain,
        "low": low if np.isfinite(low) else None,
        "high": high if np.isfinite(high) else None,
        "better": better,
        "worse": bool(high < 0 if metric.higher_is_better else low > 0),
        "n": int(known.sum()),
    }


def _headline(metric: Metric, compared: Sequence[Mapping[str, Any]]) -> str:
    """Against the best of the baselines: who beats that one beats all."""
    best = max(compared, key=lambda one: one["value"] if metric.higher_is_better else -one["value"])
    figures = f"{metric.name} {short(best['net'])} against {short(best['value'])}"
    figures += f" on the same {best['n']:,} rows"
    name = _name(best["against"])
    if best["better"]:
        return f"it beats {name}, the best of the baselines, by more than chance: {figures}."
    if best["worse"]:
        does = "do" if best["against"] in SEVERAL else "does"
        use = "--model baseline" if best["against"] == "linear" else "that"
        return f"{name} {does} better, by more than chance: {figures}. Use {use}, or train longer."
    return f"it is no better than {name}, as far as these rows can tell: {figures}."
