"""What the architectures of this folder share: the joint between stems, body and heads.

A file in this folder holds
    Config                                       a frozen dataclass, its options
    wants(signature, config) -> {slot: {option: value}}      optional: what it needs of types before they fit
    find(signature, config) -> {field: value}    optional: what it learns outside the data, once
    defaults(facts, config) -> {…}               optional: what it decides in a recipe's place
    solved(config) -> bool                       optional: are its weights solved (`mapsto.steps.solve`)?
    load_pretrained(net, signature, config) -> [sentence]    optional: first weights from elsewhere
    build(signature, types, config, kinds) -> nn.Module
The net is called as forward(inputs, condition=None, size=None) -> {output slot: head output}.
A module of a net may say of itself, as a class or instance attribute (`parameters_of`):
    solved = True       its weights are solved, not learned
    at_edge = True      it stands between data and hidden, or hidden and answers, not between two layers
    apart = "why"       what it computes is not PyTorch's, so it has no graph that could be exported
`types` are the fitted rooms, keyed ("input" | "output", slot name), because the two sides are two namespaces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.batch import Field, Padded, Ragged
from mapsto.errors import ConfigError
from mapsto.outputs.base import Head
from mapsto.registry import entry
from mapsto.signature import Signature, Slot
from mapsto.types.base import DataType

Types = Mapping[tuple[str, str], DataType]


class Stems(nn.Module):
    """All inputs through their rooms' stems: {slot: values} -> {slot: features}. `gives[slot]` says the
    shape."""

    at_edge = True

    def __init__(self, signature: Signature, types: Types, width: int | None):
        super().__init__()
        by_type: dict[type[DataType], dict[str, DataType]] = {}
        for slot in signature.inputs:
            column_type = types["input", slot.name]
            by_type.setdefault(type(column_type), {})[slot.name] = column_type
        self.groups = tuple(tuple(column_types) for column_types in by_type.values())
        stems = [kind.stems(column_types, width) for kind, column_types in by_type.items()]
        self.stems = nn.ModuleList(stems)
        told: list[Any] = [stem.gives for stem in stems]
        self.gives: dict[str, str] = {
            name: gives[name] for gives, names in zip(told, self.groups, strict=True) for name in names
        }
        self.order = tuple(slot.name for slot in signature.inputs)

    def forward(self, inputs: Mapping[str, Field]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for stem, names in zip(self.stems, self.groups, strict=True):
            found |= stem({name: inputs[name] for name in names})
        return {name: found[name] for name in self.order}


class Heads(nn.Module):
    """A hidden representation into every output's head: hidden -> {slot: output}. Pools where a head wants it
    pooled."""

    at_edge = True

    def __init__(self, signature: Signature, types: Types, kinds: Mapping[str, str], width: int, gives: str):
        super().__init__()
        self.names = tuple(slot.name for slot in signature.outputs)
        self.list = nn.ModuleList(
            types["output", name].output(kinds[name]).head(width) for name in self.names
        )
        self.gives = gives
        for name, head in self.items():
            if head.expects not in (gives, "pooled"):
                raise ConfigError(
                    f"'{name}' needs {head.expects}, this model gives {gives}.\nChoose a model that gives"
                    f" {head.expects}."
                )

    def items(self) -> list[tuple[str, Head]]:
        return list(zip(self.names, self.list, strict=True))  # type: ignore[arg-type]

    def forward(self, hidden: Any) -> dict[str, Any]:
        pooled = None
        outputs = {}
        for name, head in self.items():
            if head.expects == self.gives:
                outputs[name] = head(hidden)
            else:
                pooled = pool(hidden, self.gives) if pooled is None else pooled
                outputs[name] = head(pooled)
        return outputs


class Net(nn.Module):
    """Stems, a body and heads: what almost every architecture is. body: {slot: features} -> hidden of
    `gives`."""

    def __init__(self, stems: nn.Module, body: nn.Module, heads: Heads):
        super().__init__()
        self.stems, self.body, self.heads = stems, body, heads

    def hidden(self, inputs: Mapping[str, Field]) -> Any:
        return self.body(self.stems(inputs))

    def embed(self, inputs: Mapping[str, Field]) -> Tensor:
        """(B, D): the pooled representation before the heads; members are averaged."""
        found = pool(self.hidden(inputs), self.heads.gives)
        return found.mean(1) if found.ndim == 3 else found

    def looked_at(self, hidden: Any) -> Any:
        """What of a hidden representation tells whether a row is like those that were learned."""
        return hidden

    def forward(
        self, inputs: Mapping[str, Field], condition: Any = None, size: int | None = None
    ) -> dict[str, Any]:
        """{slot: values} -> {slot: head output}. given and size serve learners that hand something over;
        labels need neither."""
        return self.heads(self.hidden(inputs))


def pool(hidden: Any, gives: str) -> Tensor:
    """Any hidden as one vector a row (B, D): the mean over space or over the known time steps."""
    if gives == "pooled":
        return hidden
    if gives == "map":  # (B, D, H, W) -> (B, D)
        return hidden.mean((2, 3))
    if isinstance(hidden, Padded):  # (B, T, D), masked
        mask = hidden.mask[..., None]
        return (hidden.values * mask).sum(1) / hidden.lengths.clamp(min=1)[:, None]
    return hidden.mean(1)  # tokens (B, T, D) -> (B, D)


def in_arithmetic(x: Tensor) -> Tensor:
    """x in the arithmetic that autocast computes in: embeddings and positions are float32, and so would be
    every sum that they enter."""
    return x.to(torch.get_autocast_dtype(x.device.type)) if torch.is_autocast_enabled(x.device.type) else x


class WithSummary(nn.Module):
    """A body for sequences whose first token summarises the whole input (`DataType.leads`), such as a text's
    bag of words: the summary is a member of its own beside the body, each trained on its own loss. On 7,000
    sentences (sst2) a bag got .820, a convolutional net .809, the two together .837. leads: is there a
    summary; wanted: shall it be used. Tokens (B, 1 + T, W) -> members (B, 2, D); without a summary (B, D)."""

    def __init__(self, body: nn.Module, leads: bool, wanted: bool, token: int, width: int):
        super().__init__()
        self.body = body
        self.first = int(leads)
        self.summary = nn.Linear(token, width) if leads and wanted else None

    def forward(self, tokens: Padded) -> Tensor:
        found = self.body(Padded(tokens.values[:, self.first :], tokens.lengths - self.first))
        return found if self.summary is None else torch.stack([self.summary(tokens.values[:, 0]), found], 1)


class AsTheyAre(nn.Module):
    """{slot: inputs} -> the same, for a body that reads them itself."""

    def forward(self, inputs: Mapping[str, Field]) -> Mapping[str, Field]:
        return inputs


class Only(nn.Module):
    """{slot: features} -> the only slot's."""

    def forward(self, features: Mapping[str, Any]) -> Any:
        (found,) = features.values()
        return found


def only_sequence(signature: Signature, types: Types, stems: Stems, model: str) -> bool:
    """Does the one input, which must give tokens in order, lead with a summary? A ConfigError that says which
    model fits otherwise."""
    column_types = [types["input", slot.name] for slot in signature.inputs]
    if len(column_types) != 1 or not column_types[0].layout.ragged:
        kinds = ", ".join(slot.type for slot in signature.inputs) or "no input"
        raise ConfigError(
            f"model '{model}' takes one sequence, such as a text; got {kinds}.\nUse --model fusion for"
            " several inputs, --model mlp for tables."
        )
    if not isinstance(next(iter(features_of_nothing(stems, signature, types).values())), Padded):
        raise ConfigError(
            f"model '{model}' takes tokens in order, '{signature.inputs[0].name}' is read as a bag without"
            " order.\nChoose its tokens, as in text(tokenizer=words), or another model: --model ngrams."
        )
    return column_types[0].has_summary_token


@torch.no_grad()
def features_of_nothing(stems: Stems, signature: Signature, types: Types) -> dict[str, Any]:
    """{slot: features of one row}, whose cells are all missing: every room encodes those, so shapes can be
    found this way."""
    blank = {}
    for slot in signature.inputs:
        column_type = types["input", slot.name]
        cell = torch.from_numpy(np.array(column_type.encode(None), dtype=column_type.layout.dtype))
        blank[slot.name] = column_type.collate(
            Ragged.of([cell]) if column_type.layout.ragged else cell[None], None
        )
    features = stems.eval()(blank)
    stems.train()
    return features


def only_input(signature: Signature, types: Types, model: str, modality: str) -> str:
    """The name of the single input, which must be of that modality (`DataType.modality`); a ConfigError that
    says which model fits otherwise."""
    kinds = [slot.type for slot in signature.inputs]
    if [types["input", slot.name].modality for slot in signature.inputs] != [modality]:
        raise ConfigError(
            f"model '{model}' takes one {modality}, got {', '.join(kinds) or 'no input'}.\nUse --model fusion"
            " for several inputs, --model mlp for tables."
        )
    return signature.inputs[0].name


def is_prose(slot: Slot) -> bool:
    """Is its type one of texts? Asked before types are fitted."""
    return entry("types", slot.type).prose


def parameters_of(model: nn.Module, mark: str) -> set[str]:
    """Every name of the parameters in modules of a net that carry a mark: "solved" or "at_edge"."""
    marked = tuple(f"{name}." for name, part in model.named_modules() if getattr(part, mark, False))
    return {name for name, _ in model.named_parameters(remove_duplicate=False) if name.startswith(marked)}


def no_decay(module: nn.Module) -> set[str]:
    """Names of parameters that weight decay must leave alone: norms, biases and other vectors."""
    return {name for name, value in module.named_parameters() if value.ndim < 2 or "norm" in name.lower()}


def flat(features: Mapping[str, Tensor]) -> Tensor:
    """{slot: (B, ...)} -> (B, F): every input's features side by side."""
    return torch.cat([value.flatten(1) for value in features.values()], 1)
