"""What a run knows of itself, as sections: the page and the model card are made of the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from safetensors import SafetensorError, safe_open

from mapsto.blocks import Bars, Block, Line, Lines, Paragraph, Section, Table
from mapsto.config import VERSION
from mapsto.report import learning
from mapsto.report.scales import figure
from mapsto.run import Run
from mapsto.terminal.words import duration, size

LABELS = {  # metrics whose names are not words
    "r2": "R²", "auc": "AUC", "mae": "MAE", "rmse": "RMSE", "f1": "F1",
    "bleu": "BLEU", "chrf": "chrF", "rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougel": "ROUGE-L",
}  # fmt: skip
SPLITS = {"train": "to learn from", "validation": "to choose by", "test": "to test on"}


@dataclass(frozen=True)
class Score:
    """One metric of one output. figures: value, low, high, n, definition; beside: the same of each baseline;
    split: of which rows."""

    slot: str
    metric: str
    split: str
    figures: Mapping[str, Any]
    beside: Mapping[str, Mapping[str, Any]]
    higher_is_better: bool
    unit: str = "rows"  # what is counted
    known: Score | None = (
        None  # the first metric that the baselines have as well, where this one they have not
    )

    @property
    def judged(self) -> Score:
        """By what it is held against the baselines."""
        return self.known or self

    @property
    def poor(self) -> bool:
        """Is nothing gained over the best baseline, or nothing known of it?"""
        one = self.judged
        return self.split != "test" or (
            one.rival is not None and not one.better(one.value or 0, one.rival[1]["value"])
        )

    @property
    def value(self) -> float | None:
        return self.figures["value"]

    def better(self, a: float, b: float) -> bool:
        return a > b if self.higher_is_better else a < b

    @property
    def rival(self) -> tuple[str, Mapping[str, Any]] | None:
        """The best baseline."""
        known = {name: found for name, found in self.beside.items() if found["value"] is not None}
        order = sorted(known, key=lambda name: known[name]["value"], reverse=self.higher_is_better)
        return (order[0], known[order[0]]) if order else None

    @property
    def interval(self) -> str:
        low, high = self.figures["low"], self.figures["high"]
        return "" if low is None or high is None else f"{figure(low)} – {figure(high)}"

    def __str__(self) -> str:
        found = f"{named(self.metric)} {figure(self.value)}"
        return f"{found} (95% interval {self.interval})" if self.interval else found


def named(metric: str) -> str:
    return LABELS.get(metric, metric.replace("_", " "))


def scored(run: Run) -> str:
    """The split whose figures count: test, or validation where nothing was held back to test on; "" where
    nothing was measured."""
    return next(
        (split for split in ("test", "validation", "train") if any(run.metrics.get(split, {}).values())), ""
    )


def scores(run: Run) -> list[Score]:
    """The metric that matters of each output: the one asked for, else the first; the output asked about
    first."""
    split, asked = scored(run), run.settings.metric or ""
    wanted, _, where = asked.partition("@")
    found = []
    for slot, metrics in run.metrics.get(split, {}).items():
        if metrics:
            name = wanted if wanted in metrics and where in ("", slot) else next(iter(metrics))
            several = (_score(run, slot, other, split) for other in (name, *metrics))
            score = next(several)
            beside = (
                None
                if score.rival
                else next((other for other in several if other.rival and other.value is not None), None)
            )
            found.append(replace(score, known=beside))
    return sorted(found, key=lambda score: score.slot != where)


def _score(run: Run, slot: str, name: str, split: str) -> Score:
    rivals = run.metrics.get("baselines", {}).get(slot, {}) if split == "test" else {}
    beside = {rival: scores[name] for rival, scores in rivals.items() if name in scores}
    return Score(
        slot, name, split, run.metrics[split][slot][name], beside, _higher(run, slot, name), unit(run, slot)
    )


def unit(run: Run, slot: str) -> str:
    """What an output's metrics count: blocks where texts are cut into these, else rows."""
    return run.output(slot).unit


def _higher(run: Run, slot: str, name: str) -> bool:
    known = (metric.higher_is_better for metric in run.metrics_of(slot) if metric.name == name)
    return next(known, True)


def verdict(score: Score | None) -> str:
    """Is it better than what is simple? In one sentence, and no more than the intervals allow."""
    if score is None or score.value is None:
        return "Nothing could be measured: no row with a known answer was held back."
    if score.split != "test":
        return (
            "No rows were held back to test on: these figures are of rows that also chose the weights, and"
            " flatter."
        )
    if score.known is not None and score.known.rival is not None:
        return (
            f"By {named(score.known.metric)} ({figure(score.known.value)}):"
            f" {_against(score.known, *score.known.rival)}"
        )
    if score.rival is None:
        return f"Measured on {score.figures['n']:,} {score.unit} that it had never seen."
    return _against(score, *score.rival)


def _against(score: Score, name: str, rival: Mapping[str, Any]) -> str:
    there = f"the best baseline ({name}, {figure(rival['value'])})"
    if score.value is None or not score.better(score.value, rival["value"]):
        return f"It is not better than {there}: use the baseline, or learn longer, or with more rows."
    mine, theirs = ("low", "high") if score.higher_is_better else ("high", "low")
    apart = None not in (score.figures[mine], rival[theirs]) and score.better(
        score.figures[mine], rival[theirs]
    )
    return (
        f"Clearly better than {there}."
        if apart
        else f"Better than {there}, though their intervals overlap: on other rows it could be otherwise."
    )


def first_verdict(found: Sequence[Score]) -> str:
    """The verdict on the output that was asked about first, named where there are several."""
    said = verdict(found[0] if found else None)
    return f"{found[0].slot}: {said[0].lower()}{said[1:]}" if len(found) > 1 else said


# --- chapters -------------------------------------------------------------------------------------


def data(run: Run, private: bool) -> Section:
    """Rows per split and what is known of each column."""
    rows = {split: count for split, count in run.record["rows"].items() if count}
    told = ", ".join(f"{rows[split]:,} {purpose}" for split, purpose in SPLITS.items() if split in rows)
    told += (
        "; metrics count the blocks they are cut into"
        if any(unit(run, slot) == "blocks" for slot in run.choice.kinds)
        else ""
    )
    told += (
        "; each was tested once, by the net of a fold that had not seen it" if "folds" in run.metrics else ""
    )
    blocks: list[Block] = []
    sides = (("given", "input", run.signature.inputs), ("learned", "output", run.signature.outputs))
    known = [
        (slot.name, way, slot.type, run.types[side, slot.name].about(private))
        for way, side, slots in sides
        for slot in slots
    ]
    blocks.append(Table(("column", "role", "type", "what was found in the training rows"), tuple(known)))
    if unreadable := run.record.get("unreadable", 0):
        blocks.append(
            Paragraph(
                f"{unreadable:,} rows could not be read; `quarantine.csv` in the run says which, and why."
            )
        )
    return Section("data", "The data", f"{sum(rows.values()):,} rows: {told}.", tuple(blocks))


def curves(run: Run) -> Section | None:
    """Losses, the validation metrics that matter, and the rate, by step. None where nothing was logged."""
    log = [entry for entry in run.history if entry.get("step")]
    if not log:
        return None
    steps = tuple(entry["step"] for entry in log)
    best, last = run.record.get("best_step", 0), run.record.get("steps", steps[-1])
    marks = ((float(best), f"best: step {best:,}"),) if best else ()
    drawn = learning.losses(run, log, marks)
    blocks = [] if drawn is None else [drawn]
    together = learning.validation_loss(run) if drawn is not None and len(drawn.lines) > 1 else None
    for slot, metric in _followed(run, log):
        if (slot, metric) == together:
            continue
        values = tuple(entry["scores"].get(slot, {}).get(metric) for entry in log)
        what = f"{named(metric)} on validation rows" + (f": {slot}" if len(run.signature.outputs) > 1 else "")
        blocks.append(
            Lines((Line(named(metric), steps, values, points=len(log) <= 60),), "step", what, marks=marks)
        )
    blocks += filter(None, [learning.rate(run, log, ())])
    why = run.record.get("stopped", "")
    ended = f" {'Early stopping' if why.startswith('no better') else 'It ended early'}: {why}." if why else ""
    headline = (
        f"The best weights are those of step {best:,} of {last:,}."
        if best
        else f"The weights are those of step {last:,}, the last."
    )
    return Section("curves", "How it learned", f"{headline}{ended}", tuple(blocks))


def _followed(run: Run, log: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(output, metric) worth a curve: the one that chose the weights, and the one that matters of each
    output."""
    wanted = [
        *([run.choice.best] if run.choice.best else []),
        *((score.slot, score.metric) for score in scores(run)),
    ]
    there = log[-1]["scores"]
    return [(slot, metric) for slot, metric in dict.fromkeys(wanted) if metric in there.get(slot, {})][:6]


def metrics(run: Run) -> Section:
    """Every metric with its interval, beside the baselines; the one that matters as bars."""
    found, split = scores(run), scored(run)
    blocks: list[Block] = []
    for score in found:
        if len(found) > 1:
            blocks.append(Paragraph(f"# {score.slot}\n{verdict(score)}"))
            blocks += [beside(score.judged)] if score.beside else []
        blocks.append(_metric_table(run, score.slot, split))
        blocks += [_folds(run, score.slot)] if "folds" in run.metrics else []
    meanings = {
        named(name): one["definition"]
        for score in found
        for name, one in run.metrics[split][score.slot].items()
    }
    if meanings:
        intervals = run.metrics.get("interval", "").replace("--group", "`--group`")
        blocks.append(
            Table(("", ""), tuple(meanings.items()), f"What the metrics mean. Intervals: {intervals}.")
        )
    return Section("metrics", "How good it is", first_verdict(found), tuple(blocks))


def beside(score: Score) -> Bars:
    """The net and its baselines, best first among these."""
    sign = -1 if score.higher_is_better else 1
    order = sorted(
        score.beside,
        key=lambda name: (score.beside[name]["value"] is None, sign * (score.beside[name]["value"] or 0)),
    )
    shown = [("this net", score.figures), *((name, score.beside[name]) for name in order)]
    values, lows, highs = (tuple(one[key] for _, one in shown) for key in ("value", "low", "high"))
    direction = "higher is better" if score.higher_is_better else "lower is better"
    return Bars(
        tuple(name for name, _ in shown),
        values,
        f"{named(score.metric)} ({direction})",
        "",
        lows,
        highs,
        marked=(0,),
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
        interval = f"{figure(one['low'])} – {figure(one['high'])}" if one["low"] is not None else None
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
        caption += " Validation rows chose the weights, training rows made them."
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


def machine(run: Run) -> Section:
    """Where it was made, with what."""
    known = {**run.record.get("machine", {}), "mapsto": run.record.get("mapsto", VERSION)}
    rows = tuple((name, str(value)) for name, value in known.items() if value)
    seconds = run.record.get("seconds")
    where = known.get("gpu") or known.get("processor", "a processor")
    headline = f"Trained in {duration(seconds)} on {where}." if seconds else f"Trained on {where}."
    return Section("machine", "Machine and versions", headline, (Table(("", ""), rows),))


def weights(run: Run) -> tuple[int, int] | None:
    """(numbers in the net, bytes of its file); None where there is no file that can be read."""
    path = run.path / "model.safetensors"
    try:
        with safe_open(path, "np") as file:
            shapes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118  # no mapping
    except (OSError, SafetensorError):
        return None
    count = 0
    for shape in shapes:
        numbers = 1
        for side in shape:
            numbers *= side
        count += numbers
    return count, path.stat().st_size


def tiles(run: Run) -> list[tuple[str, str]]:
    """(figure, what it is): the run at a glance."""
    rows = run.record.get("rows", {})
    tested = (
        "every one tested once" if "folds" in run.metrics else f"{rows.get('test', 0):,} of them to test on"
    )
    found = [(f"{sum(rows.values()):,}", f"rows, {tested}")]
    if run.record.get("seconds"):
        found.append((duration(run.record["seconds"]), f"of training, {run.record.get('steps', 0):,} steps"))
    if known := weights(run):
        found.append((_many(known[0]), f"numbers in the net, {size(known[1])}"))
    return found


def _many(count: int) -> str:
    return f"{count / 1e6:.3g} million" if count >= 1e6 else f"{count:,}"
