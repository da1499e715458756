"""Ways of learning, one file each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from torch import nn

from mapsto.batch import Batches
from mapsto.config import Training, options_of
from mapsto.errors import ConfigError
from mapsto.learners.base import Learner
from mapsto.metrics import Metric
from mapsto.models.base import Types
from mapsto.registry import entry
from mapsto.signature import Signature


def build(
    name: str,
    model: nn.Module,
    signature: Signature,
    types: Types,
    store: Batches | None,
    training: Training,
    options: Mapping[str, Any],
    kinds: Mapping[str, str] | None = None,
) -> Learner:
    """The learner of that name with a user's options, checked. kinds: {output: the kind of answer it is}; of
    one left out its type's usual one. ConfigError when it ignores a setting that was asked for."""
    kind = entry("learners", name)
    refused = [key for key in kind.ignores if asdict(training).get(key) is not None]
    if refused:
        raise ConfigError(
            f"learner '{name}' cannot honour --{refused[0].replace('_', '-')}.\nLeave it out or choose"
            " another learner."
        )
    learner = kind(
        model, signature, types, store, training, options_of(kind.Config, options, f"learner '{name}'")
    )
    learner.kinds = dict(kinds or {})
    return learner


def metrics_of(
    name: str,
    signature: Signature,
    types: Types,
    training: Training,
    options: Mapping[str, Any],
    kinds: Mapping[str, str],
) -> dict[str, tuple[Metric, ...]]:
    """{output: what the learner of that name says of it}, asked before there is a net, or without one: the
    learner is made with an empty one."""
    learner = build(name, nn.Module(), signature, types, None, training, options, kinds)
    return {slot.name: learner.metrics(slot.name) for slot in signature.outputs}
