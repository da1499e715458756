"""An export from beginning to end: refused or made, compared with its run, and only then put in its place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.config import VERSION
from mapsto.deploy import _card, _graph, _parity, _texts
from mapsto.errors import ConfigError, RunError
from mapsto.events import Emit
from mapsto.files import disk_error, sha256, write_json, write_text
from mapsto.learners._graphs import Part
from mapsto.lite.exported import FILE, FORMAT, MODEL, ONE_GRAPH, PARITY, Exported, is_export, onnxruntime
from mapsto.registry import module, names
from mapsto.run import Run

WRITTEN_ROWS = 1_000  # compared, of nets that are asked anew for each token


@dataclass(frozen=True)
class Making:
    """What a form of export works with. folder: where its files go, which nobody sees before they are proved,
    and target: where they stand then; graph: the run's way from cells to answers; rows: those that both are
    asked about."""

    run: Run
    store: Any
    folder: Path
    target: Path
    most_loss: float
    ort: Path | None = None  # of pages: where onnxruntime-web lies

    @cached_property
    def rows(self) -> _parity.Rows:
        return _parity.Rows(self.run, self.store, WRITTEN_ROWS if self.parts else _parity.MOST_ROWS)

    @cached_property
    def example(self) -> dict[str, np.ndarray]:
        """What the graph is given of a few rows of the training data."""
        known = np.concatenate([self.store.rows(split) for split in ("train", "validation", "test")])
        if not len(known):
            raise RunError(f"{self.run.path}: has no row to make an example of.\nTrain it on more rows.")
        rows = np.resize(known, _graph.ROWS)
        return _graph.example_of(self.run, _parity.plain_cells(self.store.raw(rows)))

    @cached_property
    def graph(self) -> _graph.Graph:
        return _graph.Graph(self.run, tuple(self.example))

    @cached_property
    def program(self) -> Any:
        """The graph as an ONNX program in float32. ConfigError: there are several."""
        if self.parts:
            raise ConfigError(
                f"{self.run.path}: its net is exported as several graphs, which this form does not take"
                " yet.\nExport it --to onnx."
            )
        return _graph.program_of(self.graph, self.example, self._sides)

    @cached_property
    def _sides(self) -> dict[str, dict[int, str]]:
        return _graph.changing_sides(self.run, self.example)

    @cached_property
    def parts(self) -> list[Part]:
        """The graphs of a net that is asked more than once for an answer; [] where `graph` is all."""
        return self.graph.learner.graphs(self.example, self._sides)

    @property
    def files(self) -> list[str]:
        """Of its graphs."""
        return [f"{part.name}.onnx" for part in self.parts] or [MODEL]

    @cached_property
    def programs(self) -> dict[str, Any]:
        """{file: ONNX program in float32} of all graphs."""
        if not self.parts:
            return {MODEL: self.program}
        made = (_graph.program_of(part.net, part.example, part.sides) for part in self.parts)
        return dict(zip(self.files, made, strict=True))

    def save_graphs(self) -> None:
        """The graphs as they are, and rooms.json."""
        for name, program in self.programs.items():
            _graph.save(program.model_proto, self.folder / name)
        write_rooms(self, () if self.parts else self.graph.outputs)

    def feed(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What the graph is given of rows of the data."""
        encoded = _parity.plain_cells(self.store.raw(rows))
        return _graph.feed_of(self.run.signature, self.run.types, encoded)

    @cached_property
    def training_rows(self) -> np.ndarray:
        return self.store.rows("train")


def export(
    path: str | Path,
    to: str,
    out: str | Path | None,
    emit: Emit,
    most_loss: float = 0.0,
    ort: str | Path | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Export the run in a folder as `to` names it, into `out` (beside the run). (the folder, what
    parity.json says). Nothing is left where anything fails."""
    if to not in names("deploy"):
        forms = ", ".join(names("deploy"))
        raise ConfigError(f"--to: expected a form of export, got '{to}'.\nchoices: {forms}")
    form = module("deploy", to)
    if ort and "ort" not in getattr(form, "OPTIONS", ()):
        raise ConfigError(f"--ort: names what runs a page's net, and --to {to} makes no page.\nLeave it out.")
    if is_export(path):
        raise ConfigError(f"{path}: is an export already.\nExport the run that it was made of.")
    run = Run.open(path)
    target = Path(out) if out else run.path.with_name(f"{run.path.name}-{to}")
    if target.exists():
        raise ConfigError(f"--out {target}: is there already.\nName another place, or remove it.")
    _needed()
    _graph.refuse(run)
    from mapsto.steps.prepare import reopen, store_of

    store = store_of(run, lambda: reopen(run), emit)
    with _all_or_nothing(target) as folder:
        making = Making(run, store, folder, target, most_loss, Path(ort) if ort else None)
        emit(
            {"event": "note", "text": f"exporting {run.path.name} to {to}: its graph, then both on its rows"}
        )
        said = form.write(making)
        parity = _proved(making, form, said)
        write_json(folder / PARITY, parity)
        write_text(folder / "README.md", _card.card(run, parity, to, target.name))
    return target, parity


def write_rooms(making: Making, outputs: tuple[str, ...]) -> None:
    """rooms.json: what reads a cell and tells an answer."""
    run, learner = making.run, making.graph.learner
    record = {
        "format": FORMAT if making.parts else ONE_GRAPH,
        "mapsto": VERSION,
        "signature_text": str(run.signature),
        "signature": run.signature.to_json(),
        "types": run.record["types"],
        "kinds": dict(run.choice.kinds),
        "calibration": run.calibration,
        "outputs": list(outputs),
        "unsure": making.graph.distance is not None,
        "graphs": {name: sha256(making.folder / name) for name in making.files},
        "way": {"name": learner.way, **learner.way_options(making.parts)},
        "run": {"name": run.path.name, "weights": run.record.get("weights")},
    }
    write_json(making.folder / FILE, record)


def _proved(making: Making, form: Any, said: list[str]) -> dict[str, Any]:
    """What both say of the same rows, and what they take. RunError where they differ more than the form may
    (`LOSSY`: it says itself what it lost)."""
    exported = Exported.open(making.folder)
    learner = making.graph.learner
    asked = _parity if making.run.signature.inputs else _texts
    found = asked.compared(making.run, learner, exported, making.rows)
    worst = max(one["difference"] for one in found["outputs"].values())
    lossy = getattr(form, "LOSSY", False)
    other = max(one.get("other", 0) for one in found["outputs"].values())
    if (worst > _parity.ALIKE or other > _parity.OTHER * len(making.rows) + 1) and not lossy:
        from mapsto.deploy._layers import first_difference

        where = first_difference(making)
        raise RunError(
            f"{making.run.path}: its export differs by {worst:.2g} of an answer's unit ({_parity.ALIKE:g} may"
            f" be){f' and in {other} texts' if other else ''}; first at {where}.\nIt is not written. Tell us:"
            " this is no fault of yours."
        )
    size = sum(file.stat().st_size for file in making.folder.iterdir())
    weights = making.run.path / "model.safetensors"
    return {
        "tolerance": None if lossy else _parity.ALIKE,
        **found,
        "bytes": {"run": weights.stat().st_size, "export": size},
        "speed": asked.timed(making.run, learner, exported, making.rows),
        "start": _parity.started(exported),
        "machine": making.run.record.get("machine", {}).get("processor", ""),
        "said": said,
    }


def _needed() -> None:
    """ConfigError: a library is not installed."""
    onnxruntime()
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as problem:
        raise ConfigError(
            f'exports need the library {problem.name}, which is not installed: pip install "mapsto[export]"'
        ) from None


@contextmanager
def _all_or_nothing(target: Path) -> Iterator[Path]:
    """A folder that becomes `target` when all went well, and else is gone."""
    folder = target.with_name(f".{target.name}.part")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        yield folder
        folder.rename(target)
    except OSError as problem:
        raise disk_error(target, problem) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def brief(parity: Mapping[str, Any], target: Path) -> list[str]:
    """An export in a few lines, for the terminal."""
    return [str(target), *_card.lines(parity)]
