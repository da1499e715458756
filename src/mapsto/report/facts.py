"""What a run knows of itself, as sections: the page and the model card are made of the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from safetensors import SafetensorError, safe_open

from mapsto.blocks import Block, Line, Lines, Paragraph, Section, Table
from mapsto.config import VERSION
from mapsto.registry import entry
from mapsto.report import learning
from mapsto.report.scales import figure, span
from mapsto.run import Run
from mapsto.terminal.words import duration, size

LABELS = {  # metrics whose names are not words
    "r2": "R²", "auc": "AUC", "mae": "MAE", "rmse": "RMSE", "f1": "F1",
    "bleu": "BLEU", "chrf": "chrF", "rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougel": "ROUGE-L",
}  # fmt: skip
PAIRED = "baselines"  # the question that holds the net against its baselines on the same rows
SPLITS = {"train": "to learn from", "validation": "to choose by", "test": "to test on"}


@dataclass(frozen=True)
class Paired:
    """The net beside each baseline, row by row. metric: by which; against: {baseline: "net", "value" (of the
    baseline), "difference", "low", "high", "n", "better" and "worse" (the net, beyond chance)}; trivial: the
    baseline that knows nothing of the inputs."""

    metric: str
    against: Mapping[str, Mapping[str, Any]]
    higher_is_better: bool
    trivial: str = ""

    @property
    def best(self) -> tuple[str, Mapping[str, Any]]:
        """The best baseline: who beats that one beats all."""
        sign = 1 if self.higher_is_better else -1
        return max(self.against.items(), key=lambda one: sign * one[1]["value"])


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
    known: Score | None = None  # the first metric that baselines have as well, where this one they have not
    paired: Paired | None = None  # how the net and each baseline do on the same rows, where that was asked

    @property
    def judged(self) -> Score:
        """By what it is held against the baselines."""
        return self.known or self

    @property
    def poor(self) -> bool:
        """Is nothing gained over the best baseline, or nothing known of it?"""
        if self.split == "test" and self.paired is not None:
            return not self.paired.best[1]["better"]
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
        return span(low, high)

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


def scores(run: Run, sections: Sequence[Section] = ()) -> list[Score]:
    """The metric that matters of each output: the one asked for, else the first; the output asked about
    first. sections: what was asked of the run, by which the net and its baselines are compared row by row."""
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
            found.append(replace(score, known=beside, paired=_paired(run, slot, sections)))
    return sorted(found, key=lambda score: score.slot != where)


def _paired(run: Run, slot: str, sections: Sequence[Section]) -> Paired | None:
    """As the question after baselines found it; None where nobody asked, or no baseline was there."""
    against = next((one.figures.get(slot) for one in sections if one.name == PAIRED), None)
    metric = run.output(slot).row_metric
    if not against or metric is None:
        return None
    known = {name: one for name, one in against.items() if None not in (one["value"], one["net"])}
    trivial = run.output(slot).trivial
    return Paired(metric.name, known, metric.higher_is_better, trivial) if known else None


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
    if score.paired is not None:
        return _row_by_row(score.paired)
    if score.known is not None and score.known.rival is not None:
        return (
            f"By {named(score.known.metric)} ({figure(score.known.value)}):"
            f" {_against(score.known, *score.known.rival)}"
        )
    if score.rival is None:
        return f"Measured on {score.figures['n']:,} {score.unit} that it had never seen."
    return _against(score, *score.rival)


def _row_by_row(paired: Paired) -> str:
    """Beside the best baseline, and the one that knows nothing of the inputs; as the paired test allows."""
    name, best = paired.best
    figures = (
        f"{named(paired.metric)} {figure(best['net'])} against {figure(best['value'])} on the same"
        f" {best['n']:,} rows"
    )
    trivial = paired.against.get(paired.trivial)
    if trivial is not None and not trivial["better"]:
        value = f"{named(paired.metric)} {figure(trivial['net'])} against {figure(trivial['value'])}"
        return f"Not usable: no better than '{paired.trivial}', which knows nothing of the inputs: {value}."
    if best["better"]:
        return f"Usable: better than the best baseline ({name}) beyond chance, {figures}."
    if best["worse"]:
        return f"Beaten by a baseline ({name}) beyond chance: {figures}."
    return f"Usable, but no better than the best baseline ({name}) as far as can be told: {figures}."


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


def verdicts(found: Sequence[Score]) -> list[str]:
    """A sentence of each output, named where there are several; the one that was asked about stands first."""
    if len(found) < 2:
        return [verdict(found[0] if found else None)]
    return [f"{score.slot}: {said[0].lower()}{said[1:]}" for score in found for said in [verdict(score)]]


def first_verdict(found: Sequence[Score]) -> str:
    """The verdict on the output that was asked about first."""
    return verdicts(found)[0]


# --- chapters -------------------------------------------------------------------------------------


def data(run: Run, private: bool) -> Section:
    """Rows per split and what is known of each column."""
    rows = {split: count for split, count in run.record["rows"].items() if count}
    told = ", ".join(f"{count:,} {purpose}" for count, purpose in _purposes(run, rows))
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


def _purposes(run: Run, rows: Mapping[str, int]) -> list[tuple[int, str]]:
    """(how many rows, what they were for). Where validation rows are learned from, too, each chooses among
    nets that did not learn it."""
    learned = [split for split in entry("learners", run.choice.learner).learns_from if split in rows]
    if len(learned) < 2:
        return [(rows[split], purpose) for split, purpose in SPLITS.items() if split in rows]
    both = f"{SPLITS['train']} and, by nets that had not seen them, {SPLITS['validation']}"
    others = [(rows[split], purpose) for split, purpose in SPLITS.items() if split in rows.keys() - learned]
    return [(sum(rows[split] for split in learned), both), *others]


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
        if (slot, metric) == together and run.output(slot).as_loss(2.0) == 2.0:
            continue  # drawn already
        values = tuple(entry["scores"].get(slot, {}).get(metric) for entry in log)
        of = f": {slot}" if len(run.signature.outputs) > 1 else ""
        what = f"{named(metric)} on {learning.held_out(run)}{of}"
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


def machine(run: Run) -> Section:
    """Where it was made, with what."""
    known = {**run.record.get("machine", {}), "mapsto": run.record.get("mapsto", VERSION)}
    rows = tuple((name, str(value)) for name, value in known.items() if value)
    seconds = run.record.get("seconds")
    where = known.get("gpu") or known.get("processor", "a processor")
    headline = f"Trained in {duration(seconds)} on {where}." if seconds else f"Trained on {where}."
    return Section("machine", "Machine and versions", headline, (Table(("", ""), rows),))


def weights(run: Run) -> tuple[int, int] | None:
    """(numbers that were learned, or in runs of an older mapsto all in the file; bytes of the file); None
    where there is no file that can be read."""
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
    return run.record.get("parameters", count), path.stat().st_size


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
        found.append((_many(known[0]), f"parameters of the net, {size(known[1])}"))
    return found


def _many(count: int) -> str:
    return f"{count / 1e6:.3g} million" if count >= 1e6 else f"{count:,}"
