"""An exported run: a folder that `mapsto export` wrote.

model.onnx    from encoded cells to what the heads predict, and how far a row is from the training rows; of
nets that write step.onnx, and encoder.onnx where they read before (`mapsto.lite.ways`)
rooms.json    what reads a cell and tells an answer: signature, types, calibration
parity.json   how its answers compare with the run's
README.md     how it is used; the card
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np

from mapsto.config import VERSION, options_of
from mapsto.errors import ConfigError, RunError
from mapsto.files import read_json
from mapsto.lite.rows import PIECE, answer_chunk, classes_of, kept_columns, located, read_rows
from mapsto.lite.ways.base import Way
from mapsto.outputs.base import Output
from mapsto.prediction import Answer, Prediction, Wanted, with_chances
from mapsto.registry import entry
from mapsto.signature import Signature
from mapsto.source import Source

FORMAT, ONE_GRAPH = 2, 1  # as written of nets of several graphs, and of others
FILE, MODEL, PARITY = "rooms.json", "model.onnx", "parity.json"
BATCH = 32  # rows that go through the net together: of 65,536 plain features 32 are 1.7 times as quick as 256
LENGTHS = ".lengths"  # behind an answer's name: how long each row's is
DISTANCE = "distance"  # of a row from the training rows; above 1 it is unsure
COPY = "Export the run again."
SHAPE = {
    "format": int,
    "mapsto": str,
    "signature": {side: [dict[str, Any]] for side in ("inputs", "outputs")},
    "types": dict[str, dict[str, dict[str, Any]]],
    "kinds": dict[str, str],
    "calibration": dict[str, dict[str, Any]],
    "outputs": list[str],
    "unsure": bool,
}


def is_export(path: str | Path) -> bool:
    """Does an exported run lie there?"""
    return (Path(path) / FILE).is_file()


def open(path: str | Path, threads: int | None = None) -> Exported:
    """The exported run in a folder. RunError: there is none, it is damaged, or a newer mapsto wrote it.
    threads: of the processor, for one batch; None: all."""
    return Exported.open(path, threads)


class Exported:
    """It answers as the run did. signature: what it maps to what; types: {("input" | "output", slot): fitted
    type}; calibration: what makes its answers honest; way: how its graphs are asked."""

    def __init__(self, path: Path, record: Mapping[str, Any], way: Way):
        self.path, self.record, self.way = path, record, way
        self.signature = Signature.from_json(record["signature"])
        sides = (("input", self.signature.inputs), ("output", self.signature.outputs))
        self.types = {
            (side, slot.name): entry("types", slot.type).from_json(record["types"][side][slot.name])  # type: ignore[attr-defined]
            for side, slots in sides
            for slot in slots
        }
        self.calibration: Mapping[str, Mapping[str, Any]] = record["calibration"]

    @classmethod
    def open(cls, path: str | Path, threads: int | None = None) -> Self:
        path = Path(path)
        if not is_export(path):
            raise RunError(
                f"{path}: expected an exported run (a folder with {FILE}), found none.\nMake one: mapsto"
                " export RUN --to onnx"
            )
        written = read_json(path / FILE, {"format": int, "mapsto": str}, COPY)
        if written["format"] > FORMAT:
            raise RunError(
                f"{path}: written by mapsto {written['mapsto']} in format {written['format']}; this mapsto"
                f" {VERSION} reads up to {FORMAT}.\nUpdate: pip install -U mapsto"
            )
        record = read_json(path / FILE, SHAPE, COPY)
        try:
            kind = entry("lite/ways", record.get("way", {}).get("name", "rows"))
            sessions = {name: session_of(path / f"{name}.onnx", threads) for name in kind.graphs}  # type: ignore[attr-defined]
            return cls(path, record, kind(sessions, record.get("way", {})))
        except (ConfigError, KeyError, TypeError, ValueError) as problem:
            if isinstance(problem, ConfigError) and "onnxruntime" in str(problem):
                raise
            said = f"it lacks {problem}" if isinstance(problem, KeyError) else str(problem).partition("\n")[0]
            raise RunError(f"{path / FILE}: is damaged ({said[:160]}).\n{COPY}") from problem

    def output(self, slot: str) -> Output:
        """What stands right of the arrow there."""
        return self.types["output", slot].output(self.record["kinds"][slot])

    @property
    def fields(self) -> dict[str, tuple[str, ...]]:
        """{output: what a prediction of it tells}, its value first."""
        return {slot.name: self.output(slot.name).fields for slot in self.signature.outputs}

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Of the data, that are read."""
        return tuple(slot.column for slot in self.signature.inputs)

    def __repr__(self) -> str:
        return f"Exported({self.path}: {self.signature})"

    # ---- use it ----

    def predict(self, data: Any, *, probabilities: bool = False, missing_ok: bool = False) -> list[dict]:
        """A dictionary a row, as `Run.predict`'s answers are told in JSON: "row", each output with its value
        and what is known of it, "unsure", "note", "problem". data: what `Run.predict` takes, such as a
        list of {column: cell}. A row that cannot be read has a problem, the others are answered."""
        if isinstance(data, Sequence) and data and all(isinstance(row, Mapping) for row in data):
            from mapsto.data.formats.memory import source_of
            from mapsto.data.offer import Offer

            source = source_of(Offer(data=data))  # as any other, and without a look at what else it may be
        else:
            from mapsto.data.rows import to_source

            _, source = to_source(data, self.signature, self.types)
        wanted = Wanted((), probabilities, missing_ok)
        return [answer.to_json() for part in self.answers(source, wanted=wanted) for answer in part]

    def warm(self) -> None:
        """One answer to what is missing, or one token: so all that takes time once is done."""
        if self.columns:
            self.predict([dict.fromkeys(self.columns)])
        else:
            self.writer.warm()

    def search(self, lm: Any = None, **how: Any) -> Exported:
        """As `Run.search`, without a language model. ConfigError: its graph holds how answers are found."""
        if lm is not None:
            raise ConfigError(f"{self.path}: an export takes no language model.\nAsk the run itself.")
        self.way = self.way.with_decoding(how)
        return self

    # ---- let it write ----

    samples = False  # does it make what is no text from nothing?

    @property
    def writer(self) -> Any:
        """Its net as what says what comes next (`mapsto.generation.sampling.Writer`)."""
        return self.way.writer()

    def sample(self, n: int = 1, prompt: str = "", **how: Any) -> list[str]:
        """As `Run.sample`: n texts by an export that learned `-> text`, which begin with the prompt. how:
        tokens, temperature, top_p, seed, stop. RunError for others."""
        from mapsto.generation.sampling import Sampling
        from mapsto.lite.writing import written

        pieces, _ = written(self, prompt, range(n), options_of(Sampling, how, "sample"))
        return [prompt + "".join(added) for added in zip(*pieces, strict=True)]

    def reply(self, messages: Sequence[Mapping[str, str]], **how: Any) -> str:
        """As `Run.reply`: the assistant's answer to [{"role": "user", "content": …}, …]."""
        return "".join(self.stream(messages, **how))

    def stream(self, begun: str | Sequence[Mapping[str, str]] = "", **how: Any) -> Iterator[str]:
        """What each token adds, as it is written: to a text that begins so, or to a conversation the
        assistant's answer."""
        from mapsto.generation.sampling import Sampling
        from mapsto.lite.writing import pieces_of

        return pieces_of(self, begun, options_of(Sampling, how, "stream"))

    def refuse_nothing(self) -> None:
        """RunError: rows give it nothing to answer."""
        if not self.signature.inputs:
            raise RunError(
                f"{self.path}: learned {self.signature}, so rows give it nothing to answer.\nLet it write:"
                f" mapsto sample {self.path}"
            )

    def answers(
        self, source: Source, learner: None = None, support: None = None, wanted: Wanted | None = None
    ) -> Iterator[list[Answer]]:
        """As `Run.answers`."""
        from mapsto.data.structs import with_fields

        wanted = wanted or Wanted()
        self.refuse_nothing()
        source = with_fields(source.lines(), list(self.columns))
        kept = kept_columns(source, wanted.keep)
        signature = located(self, source, missing_ok=wanted.missing_ok)
        classes = classes_of(self) if wanted.probabilities else {}
        for chunk in source.chunks(PIECE):
            read = read_rows(self.types, chunk, signature)
            yield answer_chunk(self, read, self.answered(read.encoded, len(read), classes), kept)

    def answered(
        self, encoded: Mapping[Any, Any], size: int, classes: Mapping[str, Sequence[Any]]
    ) -> dict[str, list[Prediction]]:
        """{output: an answer to each of so many encoded rows}. classes: as of `predictions`."""
        made: dict[str, list[Prediction]] = {slot.name: [] for slot in self.signature.outputs}
        for low in range(0, size, BATCH):
            part = {spot: cells[low : low + BATCH] for spot, cells in encoded.items()}
            arrays, unsure = self.arrays(part)
            for slot, found in self.predictions(arrays, unsure, classes).items():
                made[slot] += found
        return made

    def predictions(
        self,
        arrays: Mapping[str, Mapping[str, np.ndarray]],
        unsure: Sequence[bool | None],
        classes: Mapping[str, Sequence[Any]] | None = None,
    ) -> dict[str, list[Prediction]]:
        """What the net's arrays say, in the data's own words. classes: of outputs of which every class's
        probability is wanted."""
        made: dict[str, list[Prediction]] = {}
        for slot, predicted in arrays.items():
            output, fitted = self.output(slot), self.calibration.get(slot, {})
            shown = output.calibrated(predicted, fitted)
            found = output.predictions(output, shown, fitted)
            if classes and slot in classes:
                assert output.chances is not None
                found = with_chances(found, classes[slot], output.chances(shown))
            made[slot] = [replace(one, unsure=far) for one, far in zip(found, unsure, strict=True)]
        return made

    def arrays(
        self, encoded: Mapping[Any, Any]
    ) -> tuple[dict[str, dict[str, np.ndarray]], list[bool | None]]:
        """Encoded cells {("input", slot): (B, ...), or a list of arrays} -> ({output: {name: (B, ...)}} as
        heads predict them, is each row far from the training rows; None where nobody knows)."""
        found, size = self.way.run(self.feed(encoded))
        arrays = {
            slot.name: {
                name.partition(".")[2]: _rows(value, found.get(f"{name}{LENGTHS}"))
                for name, value in found.items()
                if name.partition(".")[0] == self.place(slot.name) and not name.endswith(LENGTHS)
            }
            for slot in self.signature.outputs
        }
        arrays = {slot: self.output(slot).from_graph(found) for slot, found in arrays.items()}
        if not self.record["unsure"]:
            return arrays, [None] * size
        return arrays, (found[DISTANCE] > 1).tolist()

    def place(self, slot: str) -> str:
        """How the graph calls an output: names may hold anything."""
        return f"output{[one.name for one in self.signature.outputs].index(slot)}"

    def feed(self, encoded: Mapping[Any, Any]) -> dict[str, np.ndarray]:
        """What the graph is given: {name of its input: array}."""
        return feed_of(self.signature, self.types, encoded)


def feed_of(
    signature: Signature, types: Mapping[tuple[str, str], Any], encoded: Mapping[Any, Any]
) -> dict[str, np.ndarray]:
    """{"input0.cells": (B, ...), …} of encoded cells."""
    return {
        f"input{number}.{name}": value
        for number, slot in enumerate(signature.inputs)
        for name, value in types["input", slot.name].graph_inputs(encoded["input", slot.name]).items()
    }


def _rows(values: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """(B, T, ...) of rows of unequal length as (B,) objects, each an array."""
    if lengths is None:
        return values
    rows = np.empty(len(values), object)
    for i, length in enumerate(lengths.tolist()):
        rows[i] = values[i, :length]
    return rows


def onnxruntime() -> ModuleType:
    """ConfigError: it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError(
            "exported runs are run by the library onnxruntime, which is not installed: pip install"
            ' "mapsto[export]"'
        ) from None
    return onnxruntime


def session_of(model: Path, threads: int | None = None) -> Any:
    """ONNX Runtime's session of a graph. RunError: the file is missing or damaged."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # which burns idle processors
    options.log_severity_level = 3
    if threads:
        options.intra_op_num_threads = threads
    if not model.is_file():
        raise RunError(f"{model}: expected the net, the file is missing.\n{COPY}")
    problems = runtime.capi.onnxruntime_pybind11_state
    try:
        return runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except (
        problems.Fail,
        problems.InvalidProtobuf,
        problems.InvalidGraph,
        problems.InvalidArgument,
        problems.NotImplemented,
    ) as problem:
        raise RunError(f"{model}: cannot be run ({' '.join(str(problem).split())[:200]}).\n{COPY}") from None
