"""A run's folder: its record, and what follows from it: settings, signature, types, the net and its weights.
`mapsto.run.Run` is one that answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError

from mapsto.cells import shorten
from mapsto.config import VERSION, Each, Settings
from mapsto.errors import ConfigError, RunError
from mapsto.files import COPY, disk_error, read_arrays, read_json, read_json_lines, sha256, write_json
from mapsto.learners import build as build_learner
from mapsto.models import build as build_model
from mapsto.outputs.base import Output
from mapsto.recipes import Choice
from mapsto.registry import entry, names
from mapsto.run.segments import WEIGHTS, answers_before, recover
from mapsto.run.streamed import way_on
from mapsto.signature import Signature, Slot
from mapsto.training import checkpoint
from mapsto.training.machine import choose_device

if TYPE_CHECKING:
    from mapsto.data.store import Store
    from mapsto.learners.base import Learner

T = TypeVar("T")
FORMAT = 1
SLOT = {"name": str, "type": str, "options": dict[str, Any], "column": str}
SIGNATURE = {"inputs": [SLOT], "outputs": [SLOT]}
FIGURE = {"value?": float, "low?": float, "high?": float, "n": int, "definition": str}
FIGURES = Each(Each(FIGURE))  # {output: {metric: …}}
METRICS = {
    **dict.fromkeys(("train?", "validation?", "test?"), FIGURES),
    "parts?": Each(FIGURES),
    "baselines?": Each(FIGURES),
    "folds?": [FIGURES],
}
RECORD = {  # what of run.json is checked before anything of it is used
    "format": int,
    "status": str,
    "mapsto?": str,
    "created?": str,
    "problem?": str,
    "data": {"name": str, "locations": list[str], "fingerprint": str, "kind?": str},
    "asked?": str,
    "settings": {
        "reading": dict[str, Any],
        "budget": dict[str, Any],
        "training": dict[str, Any],
        "report?": dict[str, Any],
        **dict.fromkeys(("model?", "learner?", "metric?", "start?"), str),
    },
    "code?": dict[str, str],
    "signature?": SIGNATURE,
    "signature_text?": str,
    "types?": dict[str, dict[str, dict[str, Any]]],
    "choice?": {
        "model": str,
        "model_options": dict[str, Any],
        "learner": str,
        "learner_options": dict[str, Any],
        "training": dict[str, Any],
        "budget": dict[str, Any],
        "kinds": dict[str, str],
        "best?": tuple[str, str],
        "reasons": list[str],
    },
    **dict.fromkeys(("store?", "weights?", "plan?", "stopped?", "segment?", "start_from?"), str),
    "rows?": dict[str, int],
    "unreadable?": int,
    "said?": list[str],
    "machine?": dict[str, Any],
    "calibration?": Each({"kind?": str, "halfwidth?": float, "temperature?": float, "scale?": dict}),
    "seconds?": float,
    "steps?": int,
    "best_step?": int,
    "plan_measured?": dict[str, Any],
    "speed?": dict[str, Any],
    "novelty?": dict[str, Any],
    "learned?": dict[str, Any],
    "cautions?": list[str],
    "fits?": {"asked": str, "tried": list[Any]},
    "cost?": {"phases?": Each({"seconds": float, "processor_seconds": float}), "memory?": float},
    "fold?": int,
    "rows_before?": int,
    "stream?": dict[str, Any],
    "known_types?": dict[str, dict[str, dict[str, Any]]],
    "known_found?": dict[str, Any],
    "known_choice?": dict[str, Any],
    "start?": {
        "run": str,
        "signature": SIGNATURE,
        "types": dict[str, dict[str, dict[str, Any]]],
        "model": str,
        "model_options": dict[str, Any],
    },
}
START = "start.safetensors"  # the weights of the run or public model that it started from


class RunFolder:
    """A training, running or done, in its folder."""

    def __init__(self, path: Path, record: dict[str, Any]):
        self.path, self.record = path, record

    # ---- create, open, list ----

    @classmethod
    def create(cls, out: Path, name: str, record: Mapping[str, Any]) -> Self:
        """A new folder `out/<date>-<name>[-k]` with its record. RunError when it cannot be written."""
        plain = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
        stem = f"{datetime.now():%Y-%m-%d}-{plain[:40]}"
        for k in range(1, 100_000):
            path = out / (stem if k == 1 else f"{stem}-{k}")
            try:
                path.mkdir(parents=True)
                break
            except FileExistsError:
                if not path.is_dir():
                    raise RunError(
                        f"{path}: expected a folder, it is a file.\nChoose another place with --out."
                    ) from None
            except OSError as problem:
                raise disk_error(path, problem) from None
        run = cls(
            path,
            {
                "format": FORMAT,
                "mapsto": VERSION,
                "created": datetime.now().isoformat(timespec="seconds"),
                "status": "running",
                **record,
            },
        )
        run.save()
        return run

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The run in a folder. RunError when there is none, a newer mapsto wrote it, or it needs an own file
        that is not trusted."""
        from mapsto.registry import trust

        run = cls._read(path)
        recover(run.path, run.status)
        trust.check(run.record, run.path)
        return run

    @classmethod
    def open_to_answer(cls, path: str | Path) -> Self:
        """As `open`; of a run that is being extended its finished segment, until the next has weights."""
        run = cls.open(path)
        return cls.open(answers_before(run) or run.path)

    @classmethod
    def _read(cls, path: str | Path) -> Self:
        path = Path(path)
        if path.name == "run.json":
            path = path.parent
        if not (path / "run.json").is_file():
            near = [other.path for other in cls.list(path.parent)] if path.parent.is_dir() else []
            raise RunError(
                f"{path}: expected a run (a folder with run.json), found none.\n"
                + (
                    f"runs beside it: {', '.join(map(str, near[-5:]))}"
                    if near
                    else "Runs are listed by: mapsto runs"
                )
            )
        written = read_json(path / "run.json", {"format": int, "status": str, "mapsto?": str})
        if written["format"] > FORMAT:
            by = f"mapsto {written.get('mapsto')} in format {written['format']}"
            raise RunError(
                f"{path}: written by {by}; this mapsto {VERSION} reads up to {FORMAT}.\nUpdate: pip install"
                " -U mapsto"
            )
        record = read_json(path / "run.json", RECORD)
        if written["status"] not in ("running", "failed", "done"):
            raise RunError(f"{path / 'run.json'}: is damaged (status {shorten(written['status'])}).\n{COPY}")
        for name in ("segment", "start_from"):
            inside = Path(record.get(name) or ".")
            if inside.is_absolute() or ".." in inside.parts:
                raise RunError(f"{path / 'run.json'}: is damaged ({name} lies outside of the run).\n{COPY}")
        return cls(path, record)

    @classmethod
    def list(cls, folder: Path, damaged: Callable[[Path, RunError], None] | None = None) -> list[Self]:
        """Every run directly in a folder, oldest first; folders that are none are passed over, and those
        whose record cannot be read, of which `damaged` hears."""
        found = []
        for file in sorted(folder.glob("*/run.json")):
            try:
                found.append(cls._read(file.parent))
            except RunError as problem:
                if damaged:
                    damaged(file.parent, problem)
        return sorted(found, key=lambda run: run.record.get("created", ""))

    def save(self, **changes: Any) -> None:
        """Write the record, amended."""
        self.record |= changes
        write_json(self.path / "run.json", self.record)

    def kept_rows(self) -> dict[str, np.ndarray]:
        """rows.npz: of each row its "split", and where the run has them "group", "weight" (of test rows)
        "test_hash" and (of the others, ascending) "learned_hash". RunError when it is damaged."""
        return read_arrays(self.path / "rows.npz", ["split"])

    # ---- what it is ----

    @property
    def status(self) -> str:
        """running (or cut off: resume it), failed (and why, in the record's `problem`), done."""
        return self.record["status"]

    @cached_property
    def settings(self) -> Settings:
        return self._decided("settings", lambda: Settings.from_json(self.record["settings"]))

    @property
    def chosen(self) -> bool:
        """Has everything been decided that stands before the first step?"""
        return "choice" in self.record

    @cached_property
    def signature(self) -> Signature:
        if "signature" not in self.record:
            raise RunError(
                f"{self.path}: the training ended before anything was decided ({self.status}).\nTrain again,"
                f" or: mapsto resume {self.path}"
            )
        return self._decided("signature", lambda: Signature.from_json(self.record["signature"]))

    @cached_property
    def choice(self) -> Choice:
        return self._decided("choice", lambda: Choice.from_json(self.record["choice"]))

    @cached_property
    def types(self) -> dict[tuple[str, str], Any]:
        sides = (("input", self.signature.inputs), ("output", self.signature.outputs))
        return {(side, slot.name): self._type(side, slot) for side, slots in sides for slot in slots}

    def _type(self, side: str, slot: Slot) -> Any:
        self._need("types", slot.type)
        column_type = entry("types", slot.type)
        return self._decided(
            f"types.{side}.{slot.name}",
            lambda: column_type.from_json(self.record["types"][side][slot.name]),
        )

    def _need(self, room: str, name: str) -> None:
        """RunError where a type, model or learner is not installed that the run was made with."""
        if not name.endswith(".py") and name not in names(room):
            raise RunError(
                f"{self.path}: was made with the {room.rstrip('s')} {shorten(name)}, which is not installed"
                " here.\nInstall the package that brought it."
            )

    def _decided(self, what: str, make: Callable[[], T]) -> T:
        """A part of the record, made what it says. RunError where it cannot be."""
        try:
            return make()
        except (ConfigError, KeyError, TypeError, ValueError, IndexError) as problem:
            said = f"it lacks {problem}" if isinstance(problem, KeyError) else str(problem).partition("\n")[0]
            raise RunError(
                f"{self.path / 'run.json'}: is damaged ({what}: {said[:160]}).\n{COPY}"
            ) from problem

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json; {} while the run is not done."""
        path = self.path / "metrics.json"
        return read_json(path, METRICS) if path.exists() or self.status == "done" else {}

    @property
    def history(self) -> list[dict[str, Any]]:
        return read_json_lines(self.path / "log.jsonl")

    # ---- the model ----

    def output(self, slot: str) -> Output:
        """What stands right of the arrow there: a fitted type as the kind of answer that was chosen."""
        return self._decided("choice", lambda: self.types["output", slot].output(self.choice.kinds[slot]))

    def new_model(self) -> torch.nn.Module:
        """The net with its first weights: a function of the choice and its seed."""
        self._need("models", self.choice.model)
        choice, signature, types = self.choice, self.signature, self.types
        torch.manual_seed(choice.training.seed)
        made = (choice.model, signature, types, choice.model_options, choice.kinds, choice.found)
        try:
            return build_model(*made)
        except (
            MemoryError,
            OverflowError,
            RuntimeError,
            TypeError,
        ) as problem:  # what torch says of such sizes
            large = isinstance(problem, (MemoryError, OverflowError))
            if not large and not any(word in str(problem) for word in ("memory", "Overflow")):
                raise
            options = shorten(", ".join(f"{name}={one}" for name, one in choice.model_options.items()), 80)
            raise RunError(
                f"{self.path}: its net takes more memory than this machine has ({options}).\nMake it smaller."
            ) from problem

    def first_model(self) -> torch.nn.Module:
        """The net before its first step: fresh from the seed, with an earlier segment's weights where it had
        them, or with those of the run that it starts from, which must be all of them."""
        model = self.new_model()
        if "start_from" not in self.record:
            return model
        old, _ = checkpoint.read(self.path / self.record["start_from"])
        state = model.state_dict()
        if self.record["start_from"] == START:
            self._refuse_others(old, state)
        for name, value in old.items():
            there = state.get(name)
            if there is None or value.ndim != there.ndim:
                continue
            if all(a <= b for a, b in zip(value.shape, there.shape, strict=True)):
                there[tuple(slice(side) for side in value.shape)] = value  # new classes stand behind old ones
        model.load_state_dict(state)
        return model

    def _refuse_others(self, *both: Mapping[str, torch.Tensor]) -> None:
        old, new = ({name: " × ".join(map(str, one.shape)) for name, one in each.items()} for each in both)
        other = next((name for name in {**new, **old} if old.get(name) != new.get(name)), None)
        if other is None:
            return
        sizes = [shapes.get(other, "nothing") for shapes in (old, new)]
        raise RunError(
            f"--from {Path(self.record['start']['run'])}: its weights do not fit this model: '{other}' is"
            f" {sizes[0]} there, {sizes[1]} here.\nStart from a run of the same model, rows and classes, or"
            " leave --from out."
        )

    @cached_property
    def model(self) -> torch.nn.Module:
        """The net with its trained weights, in evaluation mode: a plain nn.Module."""
        path = self.path / WEIGHTS
        if not path.exists() and self.status == "done":
            mend = (
                f"Copy the run again from where it was made, or learn it anew: mapsto reproduce {self.path}"
            )
            raise RunError(f"{path}: expected the weights, the file is missing.\n{mend}")
        if not path.exists():
            raise RunError(
                f"{self.path}: the training is not finished, there is no model yet.\nGo on with:"
                f" {way_on(self.path, self.record)}"
            )
        if self.status == "done" and (kept := self.record.get("weights")) and sha256(path) != kept:
            raise RunError(f"{path}: is not the file that was learned (sha256 {kept[:12]}…).\n{COPY}")
        model = self.new_model()
        try:
            tensors, _ = checkpoint.read(path)
            model.load_state_dict(tensors)
        except (SafetensorError, RuntimeError) as problem:
            raise RunError(
                f"{path}: is damaged or does not fit ({str(problem).splitlines()[0][:120]}).\nCopy the run"
                " again from where it was made."
            ) from None
        return model.eval()

    @cached_property
    def learner(self) -> Learner:
        """The trained learner, ready to predict on the machine at hand in float32."""
        learner = self.new_learner(self.model, None)
        learner.device = choose_device(
            self.settings.training.device if self.settings.training.device == "cpu" else None
        )
        learner.model.to(learner.device)
        return learner

    def new_learner(self, model: torch.nn.Module, store: Store | None) -> Learner:
        self._need("learners", self.choice.learner)
        learner = build_learner(
            self.choice.learner,
            model,
            self.signature,
            self.types,
            store,
            self.choice.training,
            self.choice.learner_options,
            self.choice.kinds,
        )
        learner.first = self.first_model
        return learner
