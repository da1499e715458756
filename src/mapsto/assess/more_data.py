"""What more labels would buy: the error of a cheap stand-in on parts of the training rows, continued to twice and four times as many.

The net itself is not trained again, so this is said of a stand-in (`measure.scaling`); a net that has learned all labels could not
stand in for itself, because its features know them. What may carry over is the proportion by which the error falls.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mapsto.assess.base import View
from mapsto.batch import key
from mapsto.blocks import Block, Line, Lines, Section, Table
from mapsto.measure import scaling
from mapsto.measure.answers import plain_metric
from mapsto.measure.baseline import TASKS, Features, features_of
from mapsto.measure.scores import any_known
from mapsto.metrics import Metric

TITLE = "What would more labels buy?"
NET = True
FEWEST = 64  # training rows
MOST_BYTES, ASKED = 4e8, 4_000  # of encoded training rows that are read; test rows
WORK = 3e9  # multiplications a second of a dense product, one core: a guess that sizes the work
TIMES = (1, 2, 4)


def asks(view: View) -> bool:
    return bool(view.run.signature.inputs) and view.store.size("train") >= FEWEST and bool(_outputs(view))


def assess(view: View, seconds: float) -> Section:
    train, ask = _features(view)
    headlines, blocks, figures = [], [], {}
    outputs = _outputs(view)
    for slot in outputs:
        metric = plain_metric(view.room(slot))
        assert metric is not None
        headline, found, figures[slot] = _of_output(view, slot, metric, train[slot], ask[slot], seconds / len(outputs))
        headlines.append(view.titled(slot, headline))
        blocks += found
    return Section("more_data", TITLE, " ".join(headlines), tuple(blocks), figures)


def _outputs(view: View) -> list[str]:
    return [slot for slot in view.outputs(*TASKS) if plain_metric(view.room(slot))]


def _features(view: View) -> tuple[dict[str, Features], dict[str, Features]]:
    layouts = [view.run.types["input", slot.name].layout for slot in view.run.signature.inputs]
    size = sum(np.dtype(layout.dtype).itemsize * int(np.prod([side or 1000 for side in layout.shape])) for layout in layouts)
    most = int(np.clip(MOST_BYTES / size, 1_000, 20_000))
    return features_of(view.store, view.store.rows("train"), most=most), features_of(view.store, view.sample(ASKED, "more data"))


def _of_output(view: View, slot: str, metric: Metric, train: Features, ask: Features, seconds: float) -> tuple[str, list[Block], dict[str, Any]]:
    task, width = TASKS[view.kind(slot)], max(1, len(view.room(slot).classes))
    known, asked = any_known(train.present), any_known(ask.present)
    wanted, mask = task.wanted(train.target[known], train.present[known], width)
    wanted = np.where(mask > 0, wanted, (wanted * mask).sum(0) / np.maximum(mask.sum(0), 1))  # labels not known: their mean
    n, all_rows = int(known.sum()), view.store.size("train")
    learn, questions = scaling.features(train.values[known], ask.values[asked], scaling.how_many(n, WORK * seconds), view.seed)
    every = scaling.parts(n, key(view.seed, slot))
    rowwise = np.stack([_errors(metric, task.answer(found), ask.target[asked]) for found in scaling.errors(learn, wanted, questions, every)])
    sizes = np.array([len(part) for part in every])
    law = scaling.law(sizes, rowwise[:, ~np.isnan(rowwise).any(0)], key(view.seed, slot, "law"))
    net = _net_error(view, slot, metric)
    what = _error_name(metric)
    share, low, high = law.gain(all_rows, 2 * all_rows)
    told = f"of a stand-in, twice the labels would take {what} from {law.at(all_rows)[0]:.3g} to {law.at(2 * all_rows)[0]:.3g}"
    told += f", {share:.0%} less ({low:.0%} to {high:.0%})"
    told += f"; in the same proportion the net's {net:.3g} would become {net * (1 - share):.3g}." if net > 0 else "."
    if (stand_in := float(np.nanmean(rowwise[-1]))) < 0.8 * net:
        told += f" The stand-in itself does better than the net ({what} {stand_in:.3g}): another model may buy more than labels."
    figures = {
        "metric": metric.name,
        "rows": all_rows,
        "sizes": sizes.tolist(),
        "errors": np.nanmean(rowwise, 1).tolist(),
        "law": [law.a, law.b, law.c],
        "gain": {"twice": [share, low, high], "four times": list(law.gain(all_rows, 4 * all_rows))},
        "net": net,
    }
    return told, _blocks(view, slot, what, sizes, np.nanmean(rowwise, 1), law, n, all_rows), figures


def _errors(metric: Metric, predicted: dict[str, np.ndarray], target: np.ndarray) -> np.ndarray:
    """(m,) per row: 1 less the metric where higher is better, else the metric; a ratio's rows relative to their mean denominator."""
    statistics = np.asarray(metric.rows(predicted, target), np.float64)
    values = statistics[:, 0] if statistics.shape[1] == 1 else statistics[:, 0] / statistics[:, 1].mean()
    return 1 - values if metric.higher_is_better else values


def _net_error(view: View, slot: str, metric: Metric) -> float:
    predicted, target, _ = view.of(slot)
    value = metric.reduce(np.asarray(metric.rows(predicted, target), np.float64))
    return 1 - value if metric.higher_is_better else value


def _error_name(metric: Metric) -> str:
    return f"1 − {metric.name}" if metric.higher_is_better else metric.name


def _blocks(view: View, slot: str, what: str, sizes: np.ndarray, errors: np.ndarray, law: scaling.Law, n: int, all_rows: int) -> list[Block]:
    distinct = np.unique(sizes)
    each = [errors[sizes == size] for size in distinct]
    measured = Line(
        "measured, least to most",
        tuple(distinct.tolist()),
        tuple(float(part.mean()) for part in each),
        tuple(float(part.min()) for part in each),
        tuple(float(part.max()) for part in each),
        points=True,
    )
    places = np.geomspace(distinct[0], 4 * all_rows, 24)
    fitted = np.array([law.at(float(place)) for place in places])
    value, low, high = (tuple(column.tolist()) for column in fitted.T)
    curve = Line("power law, 95%", tuple(places.round().astype(int).tolist()), value, low, high)
    caption = f"{what} of the stand-in over the training rows it learned from; the curve is {law.a:.3g} + {law.b:.3g} · rows^−{law.c:.2f}."
    caption += " Stand-in: ridge regression on plain and random Fourier features; the net is not trained again."
    if n < all_rows:
        caption += f" Measured on up to {n:,} of the {all_rows:,} training rows."
    lines = Lines((measured, curve), "training rows", what, view.titled(slot, caption), log_x=True, marks=((float(all_rows), "now"),))
    rows = []
    for times in TIMES:
        value, low, high = law.at(times * all_rows)
        share, least, most = law.gain(all_rows, times * all_rows)
        rows.append((times * all_rows, value, f"{low:.3g} – {high:.3g}", "—" if times == 1 else f"{share:.0%} ({least:.0%} – {most:.0%})"))
    return [lines, Table(("training rows", what, "95%", "less than now"), tuple(rows), view.titled(slot, "what the power law says of the stand-in."))]
