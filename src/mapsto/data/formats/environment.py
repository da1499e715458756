"""Environments: an object with `observation_space`, `action_space`, `reset` and `step`, as gymnasium's have
them, or a function that makes one. There are no rows to read: what types they would have, the spaces
say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from mapsto.config import Reading, Settings
from mapsto.data.environments import Environments
from mapsto.data.offer import Offer
from mapsto.errors import ConfigError, SignatureError
from mapsto.registry import entry, names
from mapsto.signature import Signature, Slot, parse
from mapsto.source import Prepared, Source

INPUT, OUTPUT = "observation", "action"


def source_of(offer: Offer) -> Source:
    """Its spaces are looked at, and nothing is done in it yet."""
    made = offer.made
    spaces = {INPUT: made.observation_space, OUTPUT: made.action_space}
    name = type(made).__name__
    return EnvironmentSource(
        name=name.lower(),
        columns=(INPUT, OUTPUT),
        fingerprint=hashlib.blake2b(f"{name} {spaces}".encode(), digest_size=16).hexdigest(),
        guess=f"{INPUT} -> {OUTPUT}",
        said=[
            f"{name}: an environment; observations are {made.observation_space}, actions {made.action_space}"
        ],
        make=offer.data if callable(offer.data) else lambda: offer.data,
        spaces=spaces,
    )


@dataclass
class EnvironmentSource(Source):
    """make: gives an instance; spaces: of observations and actions."""

    kind: ClassVar[str] = "environment"
    make: Callable[[], Any] = lambda: None
    spaces: Mapping[str, Any] = None  # type: ignore[assignment]

    def prepare(self, asked: str | None, settings: Settings, rows: Callable[[Source], Prepared]) -> Prepared:
        """Types from the spaces. ConfigError for what only rows could honour; SignatureError where no type
        holds what a space does, or a slot is neither."""
        refused = [f.name for f in fields(Reading) if getattr(settings.reading, f.name) != f.default]
        if refused:
            raise ConfigError(
                f"--{refused[0].replace('_', '-')} is about rows, and {self.name} is an environment.\n"
                "Leave it out."
            )
        wanted = parse(asked or str(self.guess))
        types: dict[tuple[str, str], Any] = {}
        slots = []
        for side, given in (("input", wanted.inputs), ("output", wanted.outputs)):
            slots.append(tuple(self._typed(slot, side, types) for slot in given))
        signature = Signature(*slots)
        return Prepared(signature, types, self.batches(signature, types, None, settings), [])

    def batches(
        self, signature: Signature, types: Mapping[tuple[str, str], Any], store: Any, settings: Any
    ) -> Environments:
        return Environments(self.make, signature, types)

    def _typed(self, slot: Slot, side: str, types: dict[tuple[str, str], Any]) -> Slot:
        """The slot with its type, which goes into `types`: the one that was named, or the first that holds
        such a space."""
        column = slot.column or slot.name
        if column not in self.spaces:
            raise SignatureError(
                f"'{slot}': an environment has '{INPUT}' and '{OUTPUT}', no '{column}'.\n"
                f"Write: {INPUT} -> {OUTPUT}"
            )
        space = self.spaces[column]
        for name in [slot.type] if slot.type else names("types"):
            held = entry("types", name).of_space(space, side)
            if held is not None and (side == "input" or held.outputs):
                types[side, slot.name] = held
                return Slot(slot.name, name, slot.options, column)
        raise SignatureError(
            f"'{slot}': no type holds {space}.\nName one that does ({column}:TYPE), or wrap the environment."
        )
