"""One file that holds a training's whole state: weights, buffers, averages, best weights, optimizers, and
where it stands.

safetensors with a JSON note in its header, so tensors and note are of one moment. The last two are kept: when
a crash or a bad disk cuts one short, the other is whole. Tensors are copied out of the file into aligned
memory: kernels that peel unaligned heads would sum in another order, and resume would not be exact.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Optimizer

from mapsto.errors import RunError
from mapsto.files import COPY, write_atomic

PartOf = Callable[[Tensor, Tensor], Tensor]

NAME, PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"


def save(folder: Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """Write the newest checkpoint; the one before it is kept."""
    newest = folder / NAME
    ready = unshared({name: value.detach().contiguous().cpu() for name, value in tensors.items()})
    write_atomic(
        newest,
        lambda temporary: save_file(ready, temporary, {"note": json.dumps(note)}),
        keep=folder / PREVIOUS,
    )


def joined(
    parts: Mapping[str, Mapping[str, Tensor]], optimizers: Mapping[str, Optimizer]
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Tensors by part ("model", "ema", …) and the optimizers' states, as `save` takes them; and what else
    these states hold, for the note."""
    tensors = {f"{name}.{key}": value for name, part_ in parts.items() for key, value in part_.items()}
    plain = {}
    for name, optimizer in optimizers.items():
        found, plain[name] = flatten(optimizer.state_dict(), f"optimizer.{name}")
        tensors |= found
    return tensors, plain


def part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """One part of what `joined` joined."""
    return {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(name + ".")}


def restore_optimizers(
    optimizers: Mapping[str, Optimizer],
    tensors: Mapping[str, Tensor],
    plain: Mapping[str, Any],
    part_of: PartOf,
) -> None:
    """Optimizers' states as `joined` gave them, into fresh optimizers. part_of: (a whole tensor, one like it)
    -> what is held of it here."""
    for name, optimizer in optimizers.items():
        state = unflatten(optimizer.state_dict(), tensors, plain[name], f"optimizer.{name}")
        for index, p in enumerate(p for group in optimizer.param_groups for p in group["params"]):
            entries = state["state"].get(index, {})
            entries |= {
                key: part_of(value, p)
                for key, value in entries.items()
                if isinstance(value, Tensor) and value.shape == p.shape
            }
        optimizer.load_state_dict(state)
        for p, state in optimizer.state.items():
            for key, value in state.items():
                if isinstance(value, Tensor) and value.shape == p.shape and value.stride() != p.stride():
                    state[key] = torch.empty_like(p, dtype=value.dtype).copy_(
                        value
                    )  # fused kernels go through memory, whatever the strides


def load(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint that is whole; None when there never was one. RunError when all are damaged."""
    damaged = []
    for name in (NAME, PREVIOUS):
        path = folder / name
        if path.exists():
            try:
                return read(path)
            except RunError as problem:
                damaged.append(str(problem).splitlines()[0])
    if damaged:
        raise RunError(
            f"{folder}: no checkpoint is whole ({'; '.join(damaged)[:120]}).\nStart the training again."
        )
    return None


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and note of one file. RunError: it is missing or damaged."""
    try:
        with safe_open(path, "pt") as file:
            note = json.loads((file.metadata() or {}).get("note", "{}"))
            return {name: aligned(file.get_tensor(name)) for name in file.keys()}, note  # noqa: SIM118  (safe_open is no mapping)
    except (SafetensorError, OSError, ValueError, RecursionError) as problem:
        raise RunError(f"{path}: is damaged ({str(problem).splitlines()[0][:120]}).\n{COPY}") from None


def unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tied weights as copies: the format refuses two names for one memory."""
    seen: set[int] = set()
    found = {}
    for name, value in tensors.items():
        found[name] = value.clone() if value.data_ptr() in seen else value
        seen.add(value.data_ptr())
    return found


def aligned(value: Tensor) -> Tensor:
    """A copy in memory of torch's own allocator, which aligns to 64 bytes."""
    return torch.empty_like(value).copy_(value)


def flatten(state: Mapping[str, Any], prefix: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's state_dict as tensors and a note: {prefix.index.key: tensor}, {index.key: plain
    value}."""
    tensors, plain = {}, {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"{prefix}.{index}.{name}"] = value
            else:
                plain[f"{index}.{name}"] = value
    return tensors, plain


def unflatten(
    state: Mapping[str, Any], tensors: Mapping[str, Tensor], plain: Mapping[str, Any], prefix: str
) -> dict[str, Any]:
    """The inverse: `state` is a fresh optimizer's state_dict, whose groups are kept."""
    entries: dict[int, dict[str, Any]] = {}
    for path, value in tensors.items():
        if path.startswith(prefix + "."):
            index, name = path[len(prefix) + 1 :].split(".", 1)
            entries.setdefault(int(index), {})[name] = value
    for path, value in plain.items():
        index, name = path.split(".", 1)
        entries.setdefault(int(index), {})[name] = value
    return {"state": entries, "param_groups": state["param_groups"]}


def same_weights(a: Path, b: Path) -> bool:
    """Do two runs hold the same weights, bit for bit? Not where one has lost them."""
    if not all((path / "model.safetensors").exists() for path in (a, b)):
        return False
    (left, _), (right, _) = (read(path / "model.safetensors") for path in (a, b))
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
