"""From a model's name to a net. The names are this folder's files; importing this loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from mapsto.config import options_of, setting
from mapsto.errors import ConfigError, SignatureError, did_you_mean
from mapsto.registry import module
from mapsto.signature import Signature

if TYPE_CHECKING:
    from torch import nn

    from mapsto.models.base import Types
    from mapsto.types.base import DataType

TOO_LARGE = ("Storage size calculation", "allocate memory", "out of memory")  # as torch says it


@dataclass(frozen=True)
class Nets:
    """What every model may be asked for beside its own options."""

    nets: int = setting(
        1, "whole nets side by side; with --learner bagged each learns without one part of the rows", above=0
    )
    line: bool = setting(False, "beside the net the linear model of the baselines, weighed by held-out rows")


def config(name: str, options: Mapping[str, Any]) -> Any:
    """The model's frozen Config from user options. ConfigError names the option and the nearest match."""
    own, shared = parted(options)
    found = options_of(module("models", name).Config, own, f"model '{name}'")
    if options_of(Nets, shared, f"model '{name}'") != Nets() and _is_solved(name, found):
        raise ConfigError(f"model '{name}' is a linear model alone.\nLeave nets and line out.")
    return found


def parted(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(a model's own options, those of `Nets`)."""
    shared = {field.name: options[field.name] for field in fields(Nets) if field.name in options}
    return {name: value for name, value in options.items() if name not in shared}, shared


def wants(name: str, signature: Signature, options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """{slot: {option: value}}: what the model needs of the rooms before they are fitted. Most models need
    nothing."""
    found = module("models", name)
    return found.wants(signature, config(name, options)) if "wants" in vars(found) else {}


def find(name: str, signature: Signature, options: Mapping[str, Any]) -> dict[str, Any]:
    """{field: value} of the Config that the model file learns from outside the data, to be kept in the run.
    Most learn nothing."""
    found = module("models", name)
    return found.find(signature, config(name, options)) if "find" in vars(found) else {}


def defaults(name: str, facts: Any, options: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What the model decides in a recipe's place, as `recipes.Recipe.decide` gives it; {} where it leaves
    that to the recipe."""
    file = module("models", name)
    return file.defaults(facts, replace(config(name, options), **found)) if "defaults" in vars(file) else {}


def narrowed(name: str, options: Mapping[str, Any], share: float) -> dict[str, Any]:
    """Options of the same architecture with about `share` of its weights: its widths times the root of it."""
    asked = config(name, options)
    widths = {
        spot.name: (getattr(asked, spot.name), spot.metadata["narrows"], spot.metadata["above"] + 1)
        for spot in fields(asked)
        if "narrows" in spot.metadata
    }
    less = {
        name: max(min(width, max(step, least)), int(width * share**0.5) // step * step)
        for name, (width, step, least) in widths.items()
    }
    return {**options, **less} if share < 1 else dict(options)


def solved(name: str, options: Mapping[str, Any]) -> bool:
    """Are its weights solved (`mapsto.steps.solve`) rather than learned step by step? Most learn."""
    return _is_solved(name, config(name, options))


def _is_solved(name: str, asked: Any) -> bool:
    found = module("models", name)
    return found.solved(asked) if "solved" in vars(found) else False


def load_pretrained(
    name: str, model: nn.Module, signature: Signature, options: Mapping[str, Any], found: Mapping[str, Any]
) -> list[str] | None:
    """First weights that the model file has from elsewhere, into the net; what to say of them. None: it has
    none."""
    file = module("models", name)
    return (
        file.load_pretrained(model, signature, replace(config(name, options), **found))
        if "load_pretrained" in vars(file)
        else None
    )


def build(
    name: str,
    signature: Signature,
    types: Types,
    options: Mapping[str, Any],
    kinds: Mapping[str, str] | None = None,
    found: Mapping[str, Any] | None = None,
) -> nn.Module:
    """The net for `signature` from fitted rooms. kinds: {output slot: head kind}; a slot left out gets its
    room's first. found: what `find` found.

    Raises ConfigError (option, kind or model does not fit) and SignatureError (a type on a side where it
    cannot stand).
    """
    _check_inputs(signature, types)
    chosen = {
        slot.name: _kind(slot.name, types["output", slot.name], (kinds or {}).get(slot.name))
        for slot in signature.outputs
    }
    asked, shared = replace(config(name, options), **(found or {})), Nets(**parted(options)[1])
    try:
        nets = [module("models", name).build(signature, types, asked, chosen) for _ in range(shared.nets)]
    except RuntimeError as problem:
        if not any(words in str(problem) for words in TOO_LARGE):
            raise
        raise ConfigError(
            f"{name}: its options ask for more weights than any memory holds"
            f" ({str(problem).splitlines()[0][:100]}).\nMake it smaller."
        ) from None
    if shared == Nets():
        return nets[0]
    from mapsto.models._bag import bagged

    return bagged(nets, shared.line, signature, types, chosen)


def _check_inputs(signature: Signature, types: Types) -> None:
    from mapsto.types.base import DataType

    for slot in signature.inputs:
        column_type = type(types["input", slot.name])
        if column_type.stem is DataType.stem and column_type.stems.__func__ is DataType.stems.__func__:
            raise SignatureError(
                f"'{slot.name}': type '{slot.type}' cannot stand left of the arrow.\nLeave it out or give it"
                " another type."
            )


def _kind(slot: str, column_type: DataType, asked: str | None) -> str:
    if not column_type.outputs:
        raise SignatureError(
            f"'{slot}': this type cannot stand right of the arrow.\nName another column to learn."
        )
    if asked is not None and asked not in column_type.outputs:
        raise ConfigError(
            f"'{slot}': unknown kind of answer '{asked}'.\n{did_you_mean(asked, column_type.outputs)}"
        )
    return asked or column_type.outputs[0]
