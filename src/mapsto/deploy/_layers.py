"""Where an exported graph first says something else than the net it was made of."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mapsto.lite.exported import session_of

SAME = 1e-4  # of the largest number of a layer's


def first_difference(making: Any, model: Any = None) -> str:
    """The first layer, in the order of the graphs, whose numbers differ, and by how much. model: another file
    than the export's, of a net of one graph."""
    names = [part.name for part in making.parts]
    for number, (file, program) in enumerate(making.programs.items()):
        example = making.parts[number].example if names else making.example
        where = _first(program, example, model or making.folder / file)
        if where:
            return f"{names[number]}: {where}" if names else where
    return "no layer of its own: what is made of the layers' numbers differs"


def _first(program: Any, example: Any, path: Any) -> str:
    """Of one graph; "" where none differs."""
    wanted = _values_of_net(program, example)
    found = _values_of_graph(example, path, tuple(wanted))
    for name, (value, layer) in wanted.items():
        if name not in found or found[name].shape != value.shape:
            continue
        scale = float(np.abs(value).max(initial=0.0)) or 1.0
        apart = float(np.abs(found[name].astype(np.float64) - value).max(initial=0.0)) / scale
        if not apart <= SAME:
            return f"{layer or name} (by {apart:.2g})"
    return ""


class _Watching(torch.fx.Interpreter):
    """Keeps every number that is computed, by the node's name, and the module it belongs to."""

    def __init__(self, module: torch.fx.GraphModule):
        super().__init__(module)
        self.kept: dict[str, tuple[np.ndarray, str]] = {}

    def run_node(self, n: torch.fx.Node) -> Any:
        value = super().run_node(n)
        if n.op == "call_function" and isinstance(value, torch.Tensor) and value.is_floating_point():
            stack = n.meta.get("nn_module_stack") or {}
            layer = next((path for path, _ in reversed(list(stack.values())) if path), "")
            self.kept[n.name] = (value.detach().float().numpy().copy(), layer)
        return value


@torch.no_grad()
def _values_of_net(made: Any, example: Any) -> dict[str, tuple[np.ndarray, str]]:
    program = made.exported_program
    watching = _Watching(program.graph_module)
    watching.run(*_arguments(program, [torch.from_numpy(one) for one in example.values()]))
    return watching.kept


def _arguments(program: Any, given: list[Any]) -> list[Any]:
    """What the lifted graph is called with: weights and constants, then the inputs, as its signature says."""
    place, found = iter(given), []
    for spec in program.graph_signature.input_specs:
        kind, target = spec.kind.name, spec.target
        if kind == "USER_INPUT":
            found.append(next(place))
        else:
            found.append(
                program.state_dict[target] if target in program.state_dict else program.constants[target]
            )
    return found


def _values_of_graph(example: Any, path: Any, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The same numbers in the ONNX graph, of those that it still has."""
    import onnx

    model = onnx.load(str(path))
    there = {name for node in model.graph.node for name in node.output}
    known = {one.name for one in model.graph.output}
    asked = [name for name in names if name in there and name not in known]
    model.graph.output.extend([onnx.ValueInfoProto(name=name) for name in asked])
    with tempfile.TemporaryDirectory() as folder:
        watched = Path(folder) / "watched.onnx"
        onnx.save(model, str(watched))
        session = session_of(watched, 1)
    taken = {one.name for one in session.get_inputs()}
    feed = {name: value for name, value in example.items() if name in taken}
    return dict(zip(asked, session.run(asked, feed), strict=True))
