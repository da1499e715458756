"""A run's way from encoded cells to what its heads predict, as one module of plain tensors, which can be
exported. Nothing here names a type, a model or a kind of answer: `DataType.from_graph` begins, `Head.predict`
ends.

Letters: B rows.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.batch import Batch, Padded
from mapsto.deploy._narrow import narrow
from mapsto.errors import ConfigError
from mapsto.learners._graphs import Sides, Tensors, inputs_of
from mapsto.learners.base import Learner
from mapsto.lite.exported import DISTANCE, LENGTHS, feed_of
from mapsto.outputs.base import Output
from mapsto.run import Run

ROWS = 2  # of the example; of 1 a graph would hold that there is only ever one
MOST = 1 << 40  # rows or tokens, more than anybody has
# of sides that may change: an exporter takes sides that are equal for one, and none of a net is so long
PRIMES = (23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97)


class Graph(nn.Module):
    """(tensors in the order of `names`) -> tensors in the order of `outputs`, which is known once it was
    called."""

    def __init__(self, run: Run, names: Sequence[str]):
        super().__init__()
        self.model = run.model.cpu().eval()
        self.learner = run.new_learner(self.model, None)  # type: ignore[arg-type]
        self.signature, self.types, self.names = run.signature, run.types, tuple(names)
        self.heads = dict(self.model.heads.items())  # type: ignore[union-attr, operator]
        self.outputs: tuple[str, ...] = ()
        self.distance = None
        if run.novelty is not None and run._looking is not None:
            from mapsto.measure._ood_net import NoveltyNet

            self.distance = NoveltyNet(run.model, run._looking, run.novelty)  # type: ignore[arg-type]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.names, tensors, strict=True))
        inputs = inputs_of(self.signature, self.types, given)
        with self._listening() as heard:
            told = self.learner.outputs(Batch(inputs, {}, size=tensors[0].shape[0]))
        found: dict[str, Tensor] = {}
        for number, slot in enumerate(self.signature.outputs):
            for name, value in self.heads[slot.name].predict_graph(told[slot.name]).items():
                found |= _flat(f"output{number}.{name}", value)
        if self.distance is not None:
            found[DISTANCE] = self.distance(heard[0], inputs)
        self.outputs = tuple(found)
        return tuple(found.values())

    @contextmanager
    def _listening(self) -> Iterator[list[Any]]:
        """What the heads are given, pass by pass."""
        heard: list[Any] = []
        heads: nn.Module = self.model.heads  # type: ignore[assignment]
        handle = heads.register_forward_pre_hook(lambda module, given: heard.append(given[0]))
        try:
            yield heard
        finally:
            handle.remove()


def _flat(name: str, value: Tensor | Padded) -> dict[str, Tensor]:
    if isinstance(value, Padded):
        return {name: value.values, f"{name}{LENGTHS}": value.lengths}
    return {name: value}


def refuse(run: Run) -> None:
    """ConfigError: a run whose answers cannot be exported yet, and why."""
    learner = run.new_learner(run.model, None)  # type: ignore[arg-type]
    apart = next((part.apart for part in run.model.modules() if hasattr(part, "apart")), "")
    one_pass, why = learner.way == Learner.way, apart
    if run.record["data"].get("kind", "rows") != "rows":
        why = why or "its data has no rows that could be counted, and so asked again"
    if one_pass and not run.signature.inputs:
        why = why or "nothing stands left of its arrow"
    if one_pass and (type(learner).arrays is not Learner.arrays or learner.packs):
        why = why or f"learner '{run.choice.learner}' finds answers in a way of its own"
    for slot in run.signature.outputs if run.signature.inputs else ():
        if type(run.output(slot.name)).decode is Output.decode:
            why = (
                why
                or f"answers of the kind '{run.choice.kinds[slot.name]}' ('{slot.name}') are told by PyTorch"
            )
    if why:
        raise ConfigError(
            f"{run.path}: learned {run.signature}, which cannot be exported yet: {why}.\nUse the run itself:"
            f" mapsto {'predict' if run.signature.inputs else 'sample'} {run.path}"
        )


def example_of(run: Run, encoded: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    """What the graph is given of `ROWS` rows, every side that may change unlike the others, so that none is
    taken for another or for one that never changes."""
    feed = feed_of(run.signature, run.types, encoded)
    sides = changing_sides(run, feed)
    return {
        name: _lengthened(value, PRIMES[place % len(PRIMES)]) if len(sides[name]) > 1 else value
        for place, (name, value) in enumerate(feed.items())
    }


def _lengthened(value: np.ndarray, least: int) -> np.ndarray:
    return np.pad(value, [(0, 0), (0, max(0, least - value.shape[1])), *[(0, 0)] * (value.ndim - 2)])


def changing_sides(run: Run, feed: Mapping[str, np.ndarray]) -> dict[str, dict[int, str]]:
    """{name of an input: its sides that may change}: rows, and of cells of unequal length their lengths; ""
    each, for nothing is said of which are alike."""
    ragged = {
        f"input{number}"
        for number, slot in enumerate(run.signature.inputs)
        if run.types["input", slot.name].layout.ragged
    }
    return {
        name: {0: "", 1: ""} if value.ndim > 1 and name.partition(".")[0] in ragged else {0: ""}
        for name, value in feed.items()
    }


def save(model: Any, path: Path) -> None:
    """An ONNX graph, without what the exporter noted of where its parts come from and what shapes they
    have: a third of a small one. Its large constants in the fewest bits that hold them."""
    import onnx

    narrow(model)

    for part in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    onnx.save(model, str(path))


@contextmanager
def unsaid() -> Iterator[None]:
    """What exporter and quantiser remark of themselves (libraries that they would know, what they will no
    longer do) is no matter of who exports."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@torch.no_grad()
def program_of(graph: Graph | Tensors, example: Mapping[str, np.ndarray], sides: Sides) -> Any:
    """The graph as an ONNX program. sides: that may change, those of one letter together. ConfigError: it
    does things that a graph cannot."""
    from torch.export import Dim

    tensors = tuple(torch.from_numpy(example[name]) for name in graph.names)
    if not graph.outputs:
        graph(*tensors)  # which tells their names
    named: dict[str, Any] = {
        letter: Dim(letter) for one in sides.values() for letter in one.values() if letter
    }
    shapes = tuple(
        {at: named.get(one, Dim.DYNAMIC) for at, one in sides[name].items()} for name in graph.names
    )
    try:
        with unsaid():
            program = torch.onnx.export(
                graph,
                tensors,
                dynamo=True,
                dynamic_shapes=(shapes,),
                input_names=list(graph.names),
                output_names=list(graph.outputs),
                external_data=False,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as problem:
        cause = problem.__cause__ or problem
        said = next((line for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
        raise ConfigError(
            f"this net cannot be exported yet: it does what a graph of ONNX cannot ({said.strip()[:200]}).\n"
            "Answer by the run itself: mapsto predict."
        ) from problem
    assert program is not None and program.exported_program is not None
    _refuse_bounds(program.exported_program.range_constraints)
    _refuse_fixed(program, sides)
    return program


def _refuse_fixed(program: Any, sides: Sides) -> None:
    """ConfigError: a side that may change is as long as in the example, which an exporter does not say."""
    for one in program.model_proto.graph.input:
        for at in sides.get(one.name, {}):
            if one.type.tensor_type.shape.dim[at].dim_value:
                raise ConfigError(
                    f"this net cannot be exported yet: its graph would hold for one length of '{one.name}'"
                    " only.\nAnswer by the run itself: mapsto predict."
                )


def _refuse_bounds(constraints: Mapping[Any, Any]) -> None:
    """ConfigError: the graph holds for some numbers of rows or lengths only, which no runtime would tell."""
    for bounds in constraints.values():
        if bool(bounds.lower > ROWS) or bool(bounds.upper < MOST):
            raise ConfigError(
                f"this net cannot be exported yet: its graph would hold for lengths from {bounds.lower} to"
                f" {bounds.upper} only.\nAnswer by the run itself: mapsto predict."
            )
