"""What a training starts from: another run (`--from`), a public model (`--from hub:…`), or an earlier segment
of its own (`mapsto extend`).

From another run are taken: the model with its options, the rooms with what they learned (vocabularies, means,
classes), the weights. All of it is written into the new run, the weights as start.safetensors, so that it
needs the other no more."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from mapsto.config import Settings
from mapsto.errors import ConfigError, RunError
from mapsto.files import write_atomic
from mapsto.models import config, parted
from mapsto.registry import entry, trust
from mapsto.run.folder import START, RunFolder
from mapsto.signature import Signature, Slot, format_call, parse_call
from mapsto.types.base import DataType


@dataclass(frozen=True)
class WarmStart:
    """Rooms and model of an earlier run. name: what a person would call it; model "": of a segment, whose own
    settings say it."""

    name: str
    signature: Signature
    types: Mapping[str, Mapping[str, Any]]
    model: str = ""
    options: Mapping[str, Any] | None = None
    found: Mapping[str, Any] = field(
        default_factory=dict
    )  # by the model's file outside the data: a public model's folder may be gone
    choice: Mapping[str, Any] = field(default_factory=dict)  # of the segment before

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> WarmStart | None:
        """What a run's record says it goes on from."""
        if "known_types" in record:
            before = record.get("known_choice", {"found": record.get("known_found", {})})
            return cls(
                "the segment before",
                Signature.from_json(record["signature"]),
                record["known_types"],
                found=before.get("found", {}),
                choice=before,
            )
        if (start := record.get("start")) is None:
            return None
        return cls(
            start["run"],
            Signature.from_json(start["signature"]),
            start["types"],
            start["model"],
            start["model_options"],
            start.get("found", {}),
        )

    def column_type(
        self, side: str, slot: Slot, column_type: DataType, signature: Signature
    ) -> DataType | None:
        """What goes on in a slot: the room of the same name there, or the only one of its side. `room` holds
        the slot's own options. None: a segment had no such slot. RunError: the other run's cannot go on as
        this type."""
        known = {
            one.name: one for one in (self.signature.inputs if side == "input" else self.signature.outputs)
        }
        here = signature.inputs if side == "input" else signature.outputs
        other = known.get(slot.name) or (next(iter(known.values())) if len(known) == len(here) == 1 else None)
        if other is None and not self.model:
            return None
        before = entry("types", other.type).from_json(self.types[side][other.name]) if other else None
        if before is not None and not self.model:
            return before
        found = None if before is None else column_type.extended_from(before)
        if found is None:
            there = f"its '{other}' cannot go on as {slot.type}" if other else f"it has nothing for '{slot}'"
            raise RunError(
                f"--from {self.name}: learned {self.signature}; {there}.\nStart from a run of the same kind"
                " of rows, or leave --from out."
            )
        return found

    def _as_before(self, settings: Settings) -> Settings:
        if "model" not in self.choice or settings.public:
            return settings
        model = format_call(self.choice["model"], self.choice["model_options"])
        learner = format_call(self.choice["learner"], self.choice["learner_options"])
        return replace(settings, model=model, learner=learner)

    def check_fit(self, slot: Slot, before: DataType, after: DataType) -> None:
        """RunError where the answers are of other classes than the other run's."""
        if self.model and before.classes != after.classes:
            new = [name for name in after.classes if name not in before.classes]
            raise RunError(
                f"--from {self.name}: knows {len(before.classes)} classes of '{slot.name}', these rows hold"
                f" others: {', '.join(new[:5])}.\nLeave --from out, or learn on with more classes: mapsto"
                f" extend {self.name} --data DATA"
            )

    def wished(self, settings: Settings) -> Settings:
        """Settings with the other run's model, complete, but for options that were asked for. Of a segment
        the net stays as large as it was, and learns in the same way, however many rows there are now."""
        if not self.model:
            return self._as_before(settings)
        name, options = parse_call(settings.model, "model") if settings.model else (self.model, {})
        if name != self.model:
            raise ConfigError(
                f"--from {self.name}: its model is '{self.model}', asked for is '{name}'.\nKeep one of --from"
                " and --model."
            )
        asked = {**(self.options or {}), **options}
        whole = config(name, asked)
        known = {
            spot.name: getattr(whole, spot.name) for spot in fields(whole) if not spot.metadata.get("learned")
        }
        known |= parted(asked)[1]
        return replace(
            settings,
            model=format_call(name, {key: value for key, value in known.items() if value is not None}),
        )


def start_from(run: RunFolder, start: str) -> None:
    """Weights and record of the run `start` into a new one."""
    from_run = type(run).open(start)
    if from_run.status != "done":
        raise RunError(
            f"--from {start}: the training is not finished ({from_run.status}).\nGo on with: mapsto resume"
            f" {start}"
        )
    for slot in from_run.signature.outputs:  # a record that does not hold together is refused here
        from_run.output(slot.name)
    weights = from_run.path / "model.safetensors"
    if not weights.exists():
        raise RunError(
            f"--from {start}: expected its weights, model.safetensors, found none.\nCopy the run again from"
            " where it was made."
        )
    write_atomic(run.path / START, lambda path: shutil.copyfile(weights, path))
    record = {
        "run": str(from_run.path),
        "created": from_run.record.get("created", ""),
        "data": from_run.record["data"],
        "signature": from_run.record["signature"],
        "types": from_run.record["types"],
        "model": from_run.choice.model,
        "model_options": dict(from_run.choice.model_options),
        "found": dict(from_run.choice.found),
    }
    run.save(start=record, start_from=START, code=run.record["code"] | trust.fingerprints(from_run.record))
