"""From a signature to its recipe: model, learner, settings, and why.

A family of signatures is one file of this folder, or of a package by the entry point `mapsto.recipes`; its
RECIPES are `Recipe`s. Of those that fit, the most specific is taken: the one of the highest `rank`. What a
person asked for wins over it, field by field. Figures behind the recipes are in `benchmarks/LOG.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from mapsto import models
from mapsto.config import Budget, Settings, Training
from mapsto.errors import ConfigError, did_you_mean
from mapsto.recipes._choice import ANYTHING, INPUTS, MIXED, OUTPUTS, PAIR, Choice, Facts, Recipe
from mapsto.recipes._sizes import UNTUNED
from mapsto.registry import entry, module, names
from mapsto.signature import Signature, Slot, parse_call

if TYPE_CHECKING:
    from mapsto.metrics import Metric
    from mapsto.types.base import DataType

MINUTES = 5.0  # of a budget that nobody gave
FINETUNE_LR = 0.3  # of the usual peak rate, where weights are not fresh

__all__ = [
    "ANYTHING",
    "INPUTS",
    "MINUTES",
    "MIXED",
    "OUTPUTS",
    "PAIR",
    "Choice",
    "Facts",
    "Recipe",
    "all_recipes",
    "choose",
    "model_of",
    "output_kind",
    "recipe_of",
]


def all_recipes() -> list[Recipe]:
    """Those of every file, the most specific first."""
    found = [recipe for name in names("recipes") for recipe in module("recipes", name).RECIPES]
    return sorted(found, key=lambda recipe: -recipe.rank)


def recipe_of(signature: Signature) -> Recipe:
    """The most specific that fits. ConfigError where none does, or several that are equally specific."""
    known = all_recipes()
    fitting = [recipe for recipe in known if recipe.fits(signature)]
    if not fitting:
        patterns = ", ".join(recipe.pattern for recipe in known)
        raise ConfigError(f"'{signature}': no default recipe learns this.\nPatterns with one: {patterns}.")
    best = [recipe for recipe in fitting if recipe.rank == fitting[0].rank]
    if len(best) > 1:
        raise ConfigError(
            f"'{signature}': {len(best)} recipes learn this, none more specific than the others:"
            f" {', '.join(recipe.pattern for recipe in best)}.\nGive one of them another `rank`."
        )
    return best[0]


def output_kind(signature: Signature, slot: Slot, column_type: type[DataType] | DataType) -> str:
    """The kind of head that an output gets: the pair of inputs and output decides."""
    return recipe_of(signature).kinds.get(slot.type, column_type.outputs[0])


def model_of(signature: Signature, settings: Settings) -> tuple[str, dict[str, Any]]:
    """The model's name and the options a person gave it; the recipe's model without options where nobody
    asked."""
    if settings.model is None:
        return ("hub", settings.public) if settings.public else (recipe_of(signature).model, {})
    name, options = parse_call(settings.model, "model")
    module("models", name)  # it exists, or an error with the nearest match
    return name, {**options, **settings.public}


def choose(facts: Facts, settings: Settings) -> Choice:
    """The recipe's decisions under a person's wishes. Every default is filled in; reasons say which rule
    decided."""
    from mapsto.learners import metrics_of

    recipe = recipe_of(facts.signature)
    model, asked_options = model_of(facts.signature, settings)
    found = facts.found or models.find(model, facts.signature, asked_options)
    asked_learner = parse_call(settings.learner, "learner") if settings.learner else None
    facts = replace(
        facts,
        learner=asked_learner[0] if asked_learner else None,
        options=asked_options if model == recipe.model else {},
    )
    decided = {**recipe.decide(facts), **models.defaults(model, facts, asked_options, found)}
    options = {**(decided["options"] if model == recipe.model else {}), **asked_options}
    usual_learner = decided.get("learner", recipe.learner) if model == recipe.model else recipe.learner
    learner, learner_options = asked_learner or (usual_learner, {})
    if learner == usual_learner:
        learner_options = {**decided.get("learner_options", {}), **learner_options}
    options = _with_weighed_lines(learner, options, "line" in asked_options)
    usual: Training = decided["training"]
    training = _filled(
        settings.training, replace(usual, lr=FINETUNE_LR * (usual.lr or 0.0)) if facts.started else usual
    )
    training = replace(training, batch=min(training.batch or 1, max(1, recipe.units(facts))))
    if (training.devices or 1) > (training.batch or 1):
        raise ConfigError(
            f"--devices {training.devices}: a step takes {training.batch} rows, too few for each process to"
            " get one.\nGive fewer devices."
        )
    kinds = output_kinds(facts.signature, facts.column_types)
    return Choice(
        model=model,
        model_options=options,
        learner=learner,
        learner_options=learner_options,
        training=training,
        budget=_budget(settings.budget, decided["budget"]),
        kinds=kinds,
        type_options=decided.get("type_options", {}),
        best=_best(
            metrics_of(learner, facts.signature, facts.column_types, training, learner_options, kinds),
            settings.metric,
            decided.get("metric"),
        ),
        reasons=(decided.get("why") or recipe.why,),
        found=found,
    )


def _with_weighed_lines(learner: str, options: dict[str, Any], asked: bool) -> dict[str, Any]:
    """Without a recipe's linear models where the learner would not weigh them; ConfigError where they were
    asked for."""
    if not options.get("line") or entry("learners", learner).weighs_lines:
        return options
    if asked:
        raise ConfigError(
            f"learner '{learner}' weighs no linear model beside a net, so line=true would change nothing.\n"
            "Leave it out, or take --learner supervised."
        )
    return {**options, "line": False}


def _filled(asked: Training, decided: Training) -> Training:
    """The recipe's numbers where nobody asked. A rate chosen for one optimizer is not taken over for
    another."""
    values = {
        f.name: getattr(asked, f.name) if getattr(asked, f.name) is not None else getattr(decided, f.name)
        for f in fields(Training)
    }
    if asked.optimizer not in (None, decided.optimizer):
        usual = zip(("lr", "momentum", "weight_decay"), UNTUNED[str(asked.optimizer)], strict=True)
        for name, value in usual:
            values[name] = getattr(asked, name) if getattr(asked, name) is not None else value
    return Training(**values)


def _budget(asked: Budget, decided: Budget) -> Budget:
    """Steps or epochs asked for: these alone. Else minutes, ended early by the recipe's epochs."""
    patience = asked.patience if asked.patience is not None else decided.patience
    if asked.steps is not None or asked.epochs is not None:
        return replace(asked, patience=asked.patience or 0.0)
    return Budget(
        minutes=asked.minutes or MINUTES, epochs=decided.epochs, until=asked.until, patience=patience
    )


def output_kinds(signature: Signature, types: Mapping[tuple[str, str], DataType]) -> dict[str, str]:
    """{output: the kind of head that it gets}."""
    outputs = signature.outputs
    return {slot.name: output_kind(signature, slot, types["output", slot.name]) for slot in outputs}


def _best(
    metrics: Mapping[str, Sequence[Metric]], metric: str | None, usual: str | None
) -> tuple[str, str] | None:
    """(slot, metric) that decides which weights are best: --metric NAME[@SLOT], or the recipe's usual one, or
    the first output's first. metrics: of each output, as the learner says."""
    name, _, where = (metric or "").partition("@")
    slot = where or next(iter(metrics))
    if slot not in metrics:
        raise ConfigError(f"--metric {metric}: no output '{slot}'.\n{did_you_mean(slot, metrics)}")
    known = [found.name for found in metrics[slot]]
    if name and name not in known:
        raise ConfigError(f"--metric: '{slot}' has no metric '{name}'.\n{did_you_mean(name, known)}")
    default = usual if usual in known else known[0] if known else None
    return (slot, name or default) if default else None
