"""What more labels would buy: the error of a cheap stand-in on parts of the training rows, continued to twice
and four times as many.

The net itself is not trained again, so this is said of a stand-in (`measure.scaling`); a net that has learned
all labels could not stand in for itself, because its features know them. What may carry over is the
proportion by which the error falls.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mapsto.assess.base import View, short
from mapsto.batch import key
from mapsto.blocks import Block, Line, Lines, Section, Table
from mapsto.measure import scaling
from mapsto.measure.baseline import Features, chosen, features_of, taken
from mapsto.measure.intervals import ratio
from mapsto.metrics import Metric
from mapsto.prediction import any_known

TITLE = "What would more labels buy?"
NET = True
FEWEST = 64  # training rows
MOST_BYTES, MOST_ROWS = 4e8, 20_000  # of encoded rows that are read
WORK = 3e9  # multiplications a second of a dense product, one core: a guess that sizes the work
TIMES = (1, 2, 4)


def asks(view: View) -> bool:
    return bool(view.run.signature.inputs) and view.store.size("train") >= FEWEST and bool(_outputs(view))


def assess(view: View, seconds: float) -> Section:
    rows, features = _features(view)
    headlines, blocks, figures = [], [], {}
    outputs = _outputs(view)
    for slot in outputs:
        metric = view.output(slot).row_metric
        assert metric is not None
        headline, found, figures[slot] = _of_output(
            view, slot, metric, features[slot], view.group_of(rows), seconds / len(outputs)
        )
        headlines.append(view.titled(slot, headline))
        blocks += found
    return Section("more_data", TITLE, " ".join(headlines), tuple(blocks), figures)


def _outputs(view: View) -> list[str]:
    return [slot for slot in view.outputs(lambda output: output.link) if view.output(slot).row_metric]


def _features(view: View) -> tuple[np.ndarray, dict[str, Features]]:
    """Rows learned from and held back together, and their plain features: every row is asked of stand-ins
    that did not learn it."""
    layouts = [view.run.types["input", slot.name].layout for slot in view.run.signature.inputs]
    size = sum(
        np.dtype(layout.dtype).itemsize * int(np.prod([side or 1000 for side in layout.shape]))
        for layout in layouts
    )
    rows = np.unique(np.concatenate([view.store.rows("train"), view.held.rows]))
    rows = rows[
        chosen(len(rows), int(np.clip(MOST_BYTES / size, 1_000, MOST_ROWS)), key(view.seed, "more data"))
    ]
    return rows, features_of(view.store, rows, most=len(rows))


def _of_output(
    view: View, slot: str, metric: Metric, found: Features, groups: np.ndarray | None, seconds: float
) -> tuple[str, list[Block], dict[str, Any]]:
    known = any_known(found.present)
    sizes, rowwise = _curve(
        view, slot, metric, found, known, None if groups is None else groups[known], seconds
    )
    law = scaling.law(sizes, rowwise, key(view.seed, slot, "law"))
    now, net, errors = view.store.size("train"), _net_error(view, slot, metric), rowwise.mean(1)
    what = _error_name(metric)
    share, low, high = law.gain(now, 2 * now)
    told = (
        f"of a stand-in, twice the labels would take {what} from {short(law.at(now)[0])} to"
        f" {short(law.at(2 * now)[0])}"
    )
    told += f", {share:.0%} less ({low:.0%} to {high:.0%})"
    told += (
        f"; in the same proportion the net's {short(net)} would become {short(net * (1 - share))}."
        if net > 0
        else "."
    )
    if errors[-1] < 0.8 * net:
        told += (
            f" The stand-in itself does better than the net ({what} {short(errors[-1])}): another model may"
            " buy more than labels."
        )
    figures = {
        "metric": metric.name,
        "rows": now,
        "sizes": sizes.tolist(),
        "errors": errors.tolist(),
        "law": [law.a, law.b, law.c],
        "gain": {"twice": [share, low, high], "four times": list(law.gain(now, 4 * now))},
        "net": net,
    }
    return told, _blocks(view, slot, what, sizes, rowwise, law, now), figures


def _curve(
    view: View,
    slot: str,
    metric: Metric,
    found: Features,
    known: np.ndarray,
    groups: np.ndarray | None,
    seconds: float,
) -> tuple[np.ndarray, np.ndarray]:
    """(rows that the stand-ins of each level learned from (S,), the error of each row by those that had not
    learned it (S, m))."""
    output = view.output(slot)
    target = found.target[known]
    wanted, mask = output.as_numbers(target, found.present[known])
    wanted = np.where(
        mask > 0, wanted, (wanted * mask).sum(0) / np.maximum(mask.sum(0), 1)
    )  # labels not known: their mean
    values = scaling.features(
        taken(found.values, np.flatnonzero(known)), scaling.how_many(len(target), WORK * seconds), view.seed
    )
    every = scaling.fits(len(target), groups, key(view.seed, slot))
    levels = 1 + max(fit.level for fit in every)
    sums, counts, sizes = np.zeros((levels, len(target))), np.zeros((levels, len(target))), np.zeros(levels)
    for fit, said in zip(every, scaling.answers(values, wanted, every), strict=True):
        sums[fit.level, fit.ask] += _errors(metric, output.from_numbers(said), target[fit.ask])
        counts[fit.level, fit.ask] += 1
        sizes[fit.level] = max(sizes[fit.level], len(fit.learn))
    rowwise = sums / np.maximum(counts, 1)
    return sizes, rowwise[:, (counts > 0).all(0) & ~np.isnan(rowwise).any(0)]


def _errors(metric: Metric, predicted: dict[str, np.ndarray], target: np.ndarray) -> np.ndarray:
    """(m,) per row: 1 less the metric where higher is better, else the metric; a ratio's rows relative to
    their mean denominator."""
    statistics = np.asarray(metric.rows(predicted, target), np.float64)
    values = statistics[:, 0] if statistics.shape[1] == 1 else statistics[:, 0] / statistics[:, 1].mean()
    return 1 - values if metric.higher_is_better else values


def _net_error(view: View, slot: str, metric: Metric) -> float:
    predicted, target, _ = view.of(slot)
    value = metric.reduce(np.asarray(metric.rows(predicted, target), np.float64))
    return 1 - value if metric.higher_is_better else value


def _error_name(metric: Metric) -> str:
    return f"1 − {metric.name}" if metric.higher_is_better else metric.name


def _blocks(
    view: View, slot: str, what: str, sizes: np.ndarray, rowwise: np.ndarray, law: scaling.Law, now: int
) -> list[Block]:
    ends = [ratio(errors[:, None]) for errors in rowwise]
    measured = Line(
        "measured, 95%",
        tuple(sizes.tolist()),
        tuple(rowwise.mean(1).tolist()),
        *zip(*ends, strict=True),
        points=True,
    )
    places = np.geomspace(sizes[0], 4 * now, 24).round()
    value, low, high = zip(*(law.at(float(place)) for place in places), strict=True)
    curve = Line("power law, 95%", tuple(places.astype(int).tolist()), value, low, high)
    caption = (
        f"{what} of the stand-in over the training rows it learned from; the curve is {short(law.a)} +"
        f" {short(law.b)} · rows^−{law.c:.2f}."
    )
    caption += (
        f" Stand-in: ridge regression on plain and random Fourier features, {scaling.FOLDS} folds of the"
        " rows; the net is not trained again."
    )
    lines = Lines(
        (measured, curve),
        "training rows",
        what,
        view.titled(slot, caption),
        log_x=True,
        marks=((float(now), "now"),),
    )
    rows = []
    for times in TIMES:
        value, low, high = law.at(times * now)
        share, least, most = law.gain(now, times * now)
        rows.append(
            (
                times * now,
                value,
                f"{short(low)} – {short(high)}",
                "—" if times == 1 else f"{share:.0%} ({least:.0%} – {most:.0%})",
            )
        )
    return [
        lines,
        Table(
            ("training rows", what, "95%", "less than now"),
            tuple(rows),
            view.titled(slot, "what the power law says of the stand-in."),
        ),
    ]
