"""A run, served: its test rows are its examples, and it says what moved an answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from mapsto.prediction import Prediction
from mapsto.serve.served._rows import Rows, cell_of
from mapsto.serve.served.base import Row


class Run(Rows):
    """A finished run; one that is being extended answers as before."""

    noun: ClassVar[str] = "a run (a folder with run.json)"

    def __init__(self, path: Path):
        from mapsto.run import Run as Folder

        self.run = Folder.open_to_answer(path)
        super().__init__(path, self.run, not self.run.settings.report.no_samples)
        plan = self._plan()
        self.threads = plan.threads if plan else 1

    def _plan(self) -> Any:
        """How this machine was measured to take the net fastest; None of runs that tell no plan."""
        from mapsto.training.plan import Plan

        recorded = self.run.record.get("plan_measured")
        return self.run._decided("plan_measured", lambda: Plan.of(recorded)) if recorded else None

    @classmethod
    def is_here(cls, path: Path) -> bool:
        return (path / "run.json").is_file() or path.name == "run.json"

    def describe(self) -> dict[str, Any]:
        test = self.run.metrics.get("test", {})
        return {
            **super().describe(),
            "signature": self.run.record.get("signature_text", str(self.signature)),
            "explains": bool(self.signature.inputs) and any(self._effects()),
            "metrics": {
                slot: {one: found.get("value") for one, found in by_name.items()}
                for slot, by_name in test.items()
            },
        }

    # ---- in the server ----

    def examples(self, most: int) -> list[dict[str, Any]]:
        from mapsto.serve.served._examples import test_rows

        return test_rows(self.run, most) if self.names and self.signature.inputs else []

    def to_learn(self) -> Any:
        from mapsto.steps.learned_run import refuse_unable

        refuse_unable(self.run)
        return self.run

    # ---- in a worker ----

    def use(self, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)

    def warm(self) -> None:
        """Weights, what tells strange rows, and one row of missing cells through the net."""
        import torch

        from mapsto.training.plan import apply

        learner, plan = self.run.learner, self._plan()
        if plan and plan.device == learner.device.type:  # its order of memory; answers stay those of float32
            apply(replace(plan, precision="float32", threads=torch.get_num_threads()), learner)
        learner.model.eval()
        super().warm()

    def predictions(self, encoded: Any, size: int) -> dict[str, list[Prediction]]:
        from mapsto.run.answering import batches_of, predictions

        batches = batches_of(self.run, self.signature, encoded, size)
        return predictions(self.run, batches, None, self.classes)

    def _effects(self) -> list[str]:
        """Outputs of which it can be said how much an answer loses."""
        return [slot.name for slot in self.signature.outputs if self.run.output(slot.name).effect is not None]

    def explain(self, row: Row) -> dict[str, Any]:
        from mapsto.serve.served._explanation import explained

        cells = {slot.name: self._type(slot).from_web(cell_of(slot, row)) for slot in self.signature.inputs}
        names = self._effects()
        return explained(self.run, cells, names[0]) if names else super().explain(row)
