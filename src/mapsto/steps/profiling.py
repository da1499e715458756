"""Where the time of a run's steps goes: some more steps under its own plan, watched by torch.profiler. The
run itself stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity, profile

from mapsto.config import Budget
from mapsto.errors import RunError
from mapsto.files import read_json_lines, write_json, write_text
from mapsto.run import Run
from mapsto.steps.prepare import reopen, store_of
from mapsto.training.plan import Plan
from mapsto.training.step_timer import StepTimer
from mapsto.training.trainer import Trainer

WARM = 3  # steps that are not watched
TOP = 15  # operations listed


@dataclass(frozen=True)
class Profile:
    """What was seen. shares: of a step by part; operations: {"name", "share", "milliseconds", "calls"} a
    step, those that take longest first."""

    steps: int
    rows: int
    milliseconds: float
    shares: Mapping[str, float]
    operations: list[dict[str, Any]]
    plan: Plan

    def text(self) -> str:
        """The page, as Markdown."""
        lines = [
            "# Where the time goes",
            "",
            (
                f"{self.steps} steps of {self.rows} rows, {self.milliseconds:.2f} ms each while watched."
                f" Plan: {self.plan}."
            ),
        ]
        lines += [
            "",
            "| part of a step | share |",
            "|---|---|",
            *(f"| {name} | {share:.1%} |" for name, share in self.shares.items()),
        ]
        lines += ["", "| operation | share | ms a step | calls a step |", "|---|---|---|---|"]
        lines += [
            f"| `{one['name']}` | {one['share']:.1%} | {one['milliseconds']:.3f} | {one['calls']:.4g} |"
            for one in self.operations
        ]
        return "\n".join(
            [*lines, "", "Open trace.json in a browser at chrome://tracing or ui.perfetto.dev.", ""]
        )


def profiled(
    path: str | Path, steps: int, folder: Path, emit: Callable[[Mapping[str, Any]], None]
) -> Profile:
    """Write trace.json, profile.json and profile.md into `folder`. RunError where the run has no weights
    yet."""
    run = Run.open(path)
    recorded = next(
        (one["plan"] for one in read_json_lines(run.path / "decisions.jsonl") if "plan" in one), None
    )
    if recorded is None:
        raise RunError(
            f"{run.path}: nothing was learned yet, there is no step to watch.\\nGo on with: mapsto resume"
            f" {run.path}"
        )
    model = run.model if (run.path / "model.safetensors").exists() else run.new_model()
    learner = run.new_learner(model, store_of(run, lambda: reopen(run), emit))
    trainer = Trainer(learner, None, Budget(steps=WARM + steps))
    trainer.course.decisions.add(0, plan={**recorded, "processes": 1}, total=WARM + steps, every=1 << 62)
    trainer.prepare()
    watched = profile(
        activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * (learner.device.type == "cuda")]
    )
    batches = learner.batches("train", 0)
    for number in range(WARM + steps):
        if number == WARM:
            trainer.updater.timer = StepTimer(learner.device)
            watched.start()
        trainer.step_timer.look()
        trainer.step_timer.start()
        batch = learner.ready(next(batches))
        trainer.step_timer.mark("data")
        trainer.updater.begin(trainer.step)
        learner.step(batch, trainer)
        trainer.step += 1
        trainer.step_timer.step()
    watched.stop()
    found = _seen(trainer, watched, steps)
    folder.mkdir(parents=True, exist_ok=True)
    watched.export_chrome_trace(str(folder / "trace.json"))
    write_json(folder / "profile.json", asdict(found))
    write_text(folder / "profile.md", found.text())
    return found


def _seen(trainer: Trainer, watched: profile, steps: int) -> Profile:
    """Self time by operation: what a kernel took less what it called."""
    gpu = trainer.learner.device.type == "cuda"
    took = {
        one.key: (one.self_device_time_total if gpu else one.self_cpu_time_total, one.count)
        for one in watched.key_averages()
    }
    total = sum(micro for micro, _ in took.values()) or 1.0
    first = sorted(took.items(), key=lambda item: -item[1][0])[:TOP]
    operations = [
        {"name": name, "share": micro / total, "milliseconds": micro / 1000 / steps, "calls": calls / steps}
        for name, (micro, calls) in first
        if micro
    ]
    milliseconds = 1000 * sum(trainer.step_timer.seconds.values()) / steps
    return Profile(
        steps,
        trainer.learner.training.batch or 1,
        milliseconds,
        trainer.step_timer.shares(),
        operations,
        trainer.plan,
    )
