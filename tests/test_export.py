"""Exports: they answer as their runs do, from the same cells, without PyTorch; what cannot be exported says so, and nothing is left of what fails."""

from __future__ import annotations

import errno
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import mapsto
import mapsto.lite
from mapsto.batch import Padded
from mapsto.cli import main
from mapsto.deploy import _graph, _layers, _making, _parity, export
from mapsto.deploy import onnx as form
from mapsto.errors import ConfigError, RunError
from mapsto.lite.exported import MODEL, session_of
from mapsto.models import _recurrent
from mapsto.run import Run
from mapsto.serve.served import opened
from mapsto.serve.served.base import Wish
from mapsto.types.tags import Tags

ROOT = Path(__file__).resolve().parents[1]
WORDS = ("good", "bad", "fine", "awful", "great", "poor", "film", "plot", "actor", "dull", "bright")
FAST = {"steps": 6, "device": "cpu", "threads": 1, "plan": "default"}
LITE = "import sys; heavy = [name for name in ('torch', 'duckdb', 'sklearn', 'scipy') if name in sys.modules]; print(heavy)"
SERVED = """
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path

class Lacking(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {lacking!r}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Lacking())
import mapsto.commands.serve, mapsto.serve.worker
from mapsto.serve.app import Options, app_of
from mapsto.serve.served import opened

app_of({{"model": Path({folder!r})}}, Options())
served = opened({folder!r})
served.use(1)
served.warm()
print("served")
"""

pytestmark = pytest.mark.usefixtures("one_thread", "without_reports")


def quiet(event: Any) -> None:
    """Nobody listens."""


@pytest.fixture(autouse=True, scope="module")
def _measured_briefly() -> Iterator[None]:
    """Latencies are taken of few calls, and a net is made a graph once for all tests, which takes seconds."""
    made, known = _graph.program_of, {}

    def program_of(graph: Any, example: Any, sides: Any) -> Any:
        graph(*[torch.from_numpy(example[name]) for name in graph.names])  # which tells its outputs' names
        if (key := f"{graph.signature} {graph.names}") not in known:
            known[key] = made(graph, example, sides)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_graph, "program_of", program_of)
        patch.setattr(_parity, "SECONDS", 0.05)
        patch.setattr("mapsto.deploy.int8.CALLS", 5)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 300 rows with numbers, names, dates and texts of 1 to 40 words, some cells missing; 60 small pictures."""
    folder, rng = tmp_path_factory.mktemp("export"), np.random.default_rng(0)
    lines = ["x,shop,day,note,y,sign"]
    for i in range(300):
        x, shop = rng.normal(), rng.choice(list("abc"))
        note = " ".join(rng.choice(WORDS, rng.integers(1, 40 if i % 7 == 0 else 9)))
        day = np.datetime64("2020-01-01") + rng.integers(0, 900)
        y = (x if shop == "a" else -x) + 0.1 * rng.normal()
        lines.append(f"{'' if i % 10 == 3 else round(x, 5)},{shop},{day},{note},{y:.5f},{'up' if y > 0 else 'down'}")
    (folder / "shops.csv").write_text("\n".join(lines) + "\n")
    for name, axis in (("across", 0), ("down", 1)):
        (folder / "bars" / name).mkdir(parents=True)
        for i in range(60):
            wave = np.expand_dims(np.sin(np.arange(12) * rng.uniform(0.8, 1.4) + rng.uniform(0, 6)), 1 - axis)
            pixels = (128 + 60 * wave + rng.normal(0, 20, (12, 12))).clip(0, 255).astype(np.uint8)
            PIL.Image.fromarray(np.stack([pixels] * 3, -1)).save(folder / "bars" / name / f"{i:02d}.png")
    return folder


Trained = Callable[..., Run]


@pytest.fixture(scope="module")
def trained(place: Path) -> Trained:
    def train(data: str, signature: str, name: str, **options: Any) -> Run:
        return mapsto.train(place / data, signature, out=place / "runs", name=name, **{**FAST, **options})

    return train


@pytest.fixture(scope="module")
def shops(trained: Trained) -> tuple[Run, Path]:
    """Numbers, a category, a date and a text to a class and a number; and its export."""
    model = "fusion(width=16, token=8, line=true)"
    run = trained("shops.csv", "x, shop, day, note -> sign, y", "shops", model=model, learner="supervised")
    return run, export(run.path, "onnx", None, quiet)[0]


@pytest.fixture(scope="module")
def bars(trained: Trained) -> tuple[Run, Path]:
    """Pictures to a class, over mirrored views; and its export."""
    run = trained("bars", "image(augment=flip) -> category", "bars", model="resnet9(width=16)")
    return run, export(run.path, "onnx", None, quiet)[0]


def rows_of(path: Path) -> list[dict[str, str]]:
    head, *lines = path.read_text().splitlines()
    return [dict(zip(head.split(","), line.split(","), strict=True)) for line in lines]


def same(run: Run, folder: Path, rows: list[Any]) -> None:
    """Are answers equal, with their probabilities, sets, intervals and unsure?"""
    wanted = [answer.to_json() for answer in run.predict(rows)]
    found = mapsto.lite.open(folder).predict(rows)
    assert len(found) == len(rows)
    for ours, theirs in zip(wanted, found, strict=True):
        assert theirs.keys() == ours.keys()
        for name, value in ours.items():
            if not isinstance(value, dict):
                assert theirs[name] == value, name
                continue
            for field, one in value.items():
                assert theirs[name][field] == (pytest.approx(one, abs=1e-5) if isinstance(one, (float, dict)) else one), (name, field)


@pytest.mark.parametrize("count", [1, 2, 3, 17])
def test_any_number_of_rows_is_answered_as_by_the_run(shops: tuple[Run, Path], place: Path, count: int) -> None:
    same(*shops, rows_of(place / "shops.csv")[:count])


def test_missing_cells_new_words_and_long_texts_are_answered_as_by_the_run(shops: tuple[Run, Path]) -> None:
    rows = [
        {"x": None, "shop": None, "day": None, "note": None},
        {"x": "3", "shop": "never seen", "day": "1931-12-31", "note": "a"},
        {"x": "-1e9", "shop": "a", "day": "2020-02-29", "note": "schön 你好 " * 400},
    ]
    same(*shops, rows)


def test_pictures_of_any_shape_are_answered_as_by_the_run(bars: tuple[Run, Path], place: Path) -> None:
    rng, pictures = np.random.default_rng(1), []
    for size in ((1, 1), (7, 90), (90, 7), (64, 64), (33, 47)):
        pictures.append({"image": PIL.Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8))})
    pictures.append({"image": PIL.Image.fromarray(rng.integers(0, 65536, (20, 20), dtype=np.uint16))})
    pictures.append({"image": PIL.Image.fromarray(rng.integers(0, 256, (20, 20, 4), dtype=np.uint8), "CMYK")})
    same(*bars, pictures)


def test_one_damaged_picture_among_sixteen_has_a_problem_and_the_others_answers(bars: tuple[Run, Path], place: Path) -> None:
    files: list[Any] = [{"image": path.read_bytes()} for path in sorted((place / "bars" / "down").glob("*.png"))[:16]]
    files[5] = {"image": files[5]["image"][:60]}
    found = mapsto.lite.open(bars[1]).predict(files)
    assert [bool(row["problem"]) for row in found] == [i == 5 for i in range(16)]
    assert all("category" in row for i, row in enumerate(found) if i != 5)


def test_what_was_proved_is_written(shops: tuple[Run, Path]) -> None:
    run, folder = shops
    parity = json.loads((folder / "parity.json").read_text())
    assert parity["rows"] == (run.kept_rows()["split"] == 2).sum() and parity["split"] == "test"
    for name in ("sign", "y"):
        one = parity["outputs"][name]
        assert one["difference"] <= 1e-4 and set(one["equal"].values()) == {1.0}
        assert one["export"]["value"] == pytest.approx(one["run"]["value"], abs=1e-6)
        assert one["run"]["value"] == pytest.approx(run.metrics["test"][name][one["metric"]]["value"])
    assert parity["bytes"]["export"] > 0 and parity["start"]["memory_mb"] > 0
    assert parity["speed"]["export"]["p50_ms"] <= parity["speed"]["export"]["p99_ms"]
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "model.onnx", "parity.json", "rooms.json"]
    card = (folder / "README.md").read_text()
    assert f'mapsto.lite.open("{folder.name}")' in card and "equal to the run's" in card


def test_the_three_lines_of_the_card_run(shops: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code = (shops[1] / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(shops[1].parent)
    exec(compile(code, "README.md", "exec"), {})
    assert "sign" in capsys.readouterr().out


@pytest.mark.parametrize("which", ["shops", "bars"])
def test_an_export_answers_without_pytorch(which: str, place: Path, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)[1]
    row = rows_of(place / "shops.csv")[0] if which == "shops" else {"image": str(place / "bars" / "down" / "00.png")}
    code = f"import mapsto.lite; print(len(mapsto.lite.open({str(folder)!r}).predict([{row!r}]))); {LITE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_parity._environment())
    assert done.stdout.splitlines() == ["1", "[]"]


def test_predict_takes_an_export_in_place_of_a_run(shops: tuple[Run, Path], place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, folder = shops
    for path, out in ((run.path, "ours.csv"), (folder, "theirs.csv")):
        assert main(["predict", str(path), str(place / "shops.csv"), "--only", "value,set,unsure,problem", "--out", str(place / out)]) == 0
    ours, theirs = ((place / name).read_text().splitlines() for name in ("ours.csv", "theirs.csv"))
    assert ours[0] == theirs[0] and len(ours) == len(theirs) == 301
    assert main(["predict", str(folder), str(place / "shops.csv"), "--beam", "3"]) == 2
    assert "Ask the run itself" in capsys.readouterr().err


def test_an_export_is_served_as_its_run_is(shops: tuple[Run, Path]) -> None:
    row = {"x": "1.5", "shop": "a", "day": "2021-05-01", "note": "a good film"}
    said = []

    for path in (shops[0].path, shops[1]):
        served = opened(path)
        served.use(1)
        served.warm()
        read = served.read([row, {**row, "x": "much"}, {**row, "x": None, "shop": "new"}], Wish(probabilities=True), 1_000_000)
        (found,) = served.predict([read.payload])
        said.append((served.decode(read, found, Wish(probabilities=True)), served.describe()))

    (by_run, of_run), (by_export, of_export) = said
    assert [{name: pytest.approx(cell, abs=1e-3) if isinstance(cell, float) else cell for name, cell in answer.items()} for answer in by_run] == by_export
    assert "much" in by_export[1]["problem"] and (of_run["inputs"], of_run["columns"]) == (of_export["inputs"], of_export["columns"])
    assert set(of_export["metrics"]) == {"sign", "y"}


def test_a_container_holds_what_serves_it(shops: tuple[Run, Path], tmp_path: Path) -> None:
    """Its server starts where only what its requirements.txt names is, beside mapsto."""
    folder = export(shops[0].path, "container", tmp_path / "model", quiet)[0]
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["serve"]
    servers = {re.split("[<>=]", line)[0] for line in extra}
    assert {*(folder / "requirements.txt").read_text().split()} == {"numpy", "onnxruntime", "threadpoolctl", "tokenizers", *servers}
    code = SERVED.format(lacking=("torch", "duckdb", "sklearn", "scipy", "rich", "safetensors", "PIL"), folder=str(folder))

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_parity._environment())

    assert done.stdout.split() == ["served"]
    words = [line for line in (folder / "Dockerfile").read_text().splitlines() if line.startswith("ENTRYPOINT")]
    assert json.loads(words[0].removeprefix("ENTRYPOINT "))[:4] == ["python", "-m", "mapsto", "serve"]
    assert "ExecStart=/opt/model/venv/bin/python -m mapsto serve model=/opt/model" in (folder / "mapsto.service").read_text()


def test_the_layer_that_first_differs_is_named(bars: tuple[Run, Path], tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    run, folder = bars
    making = _making.Making(run, _store(run), tmp_path, tmp_path, 0.0)
    model = onnx.load(str(folder / MODEL))
    weights = [one for one in model.graph.initializer if one.name.endswith("weight") and len(one.dims) == 4]
    wrong = numpy_helper.from_array(numpy_helper.to_array(weights[1]) * 1.1, weights[1].name)
    weights[1].CopyFrom(wrong)
    onnx.save(model, str(tmp_path / "wrong.onnx"))
    assert _layers.first_difference(making, folder / MODEL).startswith("no layer")
    found = _layers.first_difference(making, tmp_path / "wrong.onnx")
    assert found.partition(" (by")[0] in weights[1].name


def _store(run: Run) -> Any:
    from mapsto.steps.prepare import reopen, store_of

    return store_of(run, lambda: reopen(run), quiet)


def test_an_export_that_differs_is_not_written(bars: tuple[Run, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx
    from onnx import numpy_helper

    run, folder = bars

    def write(making: Any) -> list[str]:
        model = onnx.load(str(folder / MODEL))
        weights = next(one for one in model.graph.initializer if one.name.endswith("weight") and len(one.dims) == 4)
        weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * 3, weights.name))
        onnx.save(model, str(making.folder / MODEL))
        making.graph(*[torch.from_numpy(value) for value in making.example.values()])
        _making.write_rooms(making, making.graph.outputs)
        return []

    monkeypatch.setattr(form, "write", write)
    with pytest.raises(RunError, match=r"(?s)differs by .* first at .*not written"):
        export(run.path, "onnx", tmp_path / "made", quiet)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing(bars: tuple[Run, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(making: Any) -> list[str]:
        (making.folder / MODEL).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(form, "write", write)
    with pytest.raises(RunError, match=r"(?s)the disk is full.*Free some space"):
        export(bars[0].path, "onnx", tmp_path / "made", quiet)
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_not_written_over(bars: tuple[Run, Path]) -> None:
    with pytest.raises(ConfigError, match="is there already"):
        export(bars[0].path, "onnx", None, quiet)


def test_another_form_is_refused_with_those_there_are(bars: tuple[Run, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(bars[1])]) == 2
    assert "is an export already" in capsys.readouterr().err
    assert main(["export", str(bars[0].path), "--to", "tensorrt"]) == 2
    assert "expected a form of export, got 'tensorrt'.\nchoices: " in capsys.readouterr().err


def test_a_lacking_library_is_named_with_its_extra(bars: tuple[Run, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for use in (lambda: export(bars[0].path, "onnx", tmp_path / "made", quiet), lambda: mapsto.lite.open(bars[1])):
        with pytest.raises(ConfigError, match=r'onnxruntime.*\n?.*"mapsto\[export\]"'):
            use()


def test_an_unfinished_run_and_one_of_a_newer_version_are_refused(bars: tuple[Run, Path], tmp_path: Path) -> None:
    record = json.loads((bars[0].path / "run.json").read_text())
    for name, change in (("unfinished", {"status": "running"}), ("newer", {"format": 99, "mapsto": "9.9"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps(record | change))
    with pytest.raises(RunError, match=r"(?s)not finished.*mapsto resume"):
        export(tmp_path / "unfinished", "onnx", None, quiet)
    with pytest.raises(RunError, match=r"(?s)written by mapsto 9.9.*pip install -U"):
        export(tmp_path / "newer", "onnx", None, quiet)


def test_a_damaged_or_newer_export_is_refused(shops: tuple[Run, Path], tmp_path: Path) -> None:
    record = json.loads((shops[1] / "rooms.json").read_text())
    for name, change in (("newer", {"format": 99, "mapsto": "9.9"}), ("damaged", {"types": {}}), ("without", {})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rooms.json").write_text(json.dumps(record | change))
    (tmp_path / "damaged" / MODEL).write_bytes((shops[1] / MODEL).read_bytes())
    for name, said in (("newer", "written by mapsto 9.9"), ("damaged", "is damaged"), ("without", "the file is missing"), ("nowhere", "expected an exported run")):
        with pytest.raises(RunError, match=said):
            mapsto.lite.open(tmp_path / name)


# --- other signatures ------------------------------------------------------------------------------------------------------------


class _Tagging(torch.nn.Module):
    """A recurrent layer and the head of tags: what loops over words."""

    def __init__(self) -> None:
        super().__init__()
        column_type = Tags().fit([("O", "B-per", "I-per"), ("O", "B-loc")] * 3, {"side": "output", "into": "text"})
        self.cells = torch.nn.LSTM(6, 4, batch_first=True, bidirectional=True)
        self.head = column_type.output("tags").head(8)
        torch.nn.init.normal_(self.head.follows)

    def forward(self, values: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        read = _recurrent.read(self.cells, values, lengths)
        found = self.head.predict(self.head(Padded(read, lengths)))
        return found["value"].values, found["probability"].values


def test_tags_of_texts_of_any_length_are_those_of_the_net(tmp_path: Path) -> None:
    import onnxruntime

    torch.manual_seed(0)
    net, rows, words = _Tagging().eval(), torch.export.Dim.DYNAMIC, torch.export.Dim.DYNAMIC
    given = (torch.randn(2, 23, 6), torch.tensor([23, 9]))
    with torch.no_grad(), _graph.unsaid():
        program = torch.onnx.export(net, given, dynamo=True, dynamic_shapes=({0: rows, 1: words}, {0: rows}), verbose=False)
    _graph.save(program.model_proto, tmp_path / "tags.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "tags.onnx"))
    for lengths in ([2], [1, 2], [40, 1, 17], [5] * 17):
        values = torch.randn(len(lengths), max(lengths), 6)
        with torch.no_grad():
            wanted = net(values, torch.tensor(lengths))
        names = [one.name for one in session.get_inputs()]
        found = session.run(None, dict(zip(names, (values.numpy(), np.array(lengths)), strict=True)))
        for row, length in enumerate(lengths):
            assert np.array_equal(found[0][row, :length], wanted[0][row, :length].numpy())
            np.testing.assert_allclose(found[1][row, :length], wanted[1][row, :length].numpy(), atol=1e-5)


CELLS: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
    "number": ("number", {}, [1.5, None, -3, 1e6]),
    "log": ("number", {"log": True}, [1.5, None, -3, 1e6]),
    "date": ("number", {}, ["2020-02-29", "1999-12-31 23:59", None, "2024-07-01"]),
    "category": ("category", {}, ["a", "b", None, "a"]),
    "categories": ("categories", {}, [["a", "b"], [], None, ["c"]]),
    "words": ("text", {"tokenizer": "words"}, ["a good film", None, "b", "good " * 9]),
    "letters": ("text", {"tokenizer": "char", "grams": False}, ["acgt", None, "a", "acgtt" * 9]),
    "windows": ("text", {"tokenizer": "words", "long": "windows", "max": 4}, ["a good film", None, "b", "a b c d e f g " * 3]),
    "runs": ("text", {"tokenizer": "ngrams"}, ["a good film", None, "b", "good " * 9]),
    "image": ("image", {}, [np.full((9, 7, 3), 80, np.uint8), None, np.eye(8, dtype=np.uint8) * 255, np.ones((5, 5), np.uint16) * 999]),
    "audio": ("audio", {}, [(np.arange(2000, dtype=np.int16), 8000), None, (np.ones(900, np.int16) * 99, 8000), (np.arange(4000, dtype=np.int16), 8000)]),
}


@pytest.mark.parametrize("kind", CELLS)
def test_what_a_graph_is_given_is_what_the_net_was(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every type the operations that a graph has, beside those that learning uses."""
    from mapsto.data.store import tensors
    from mapsto.registry import entry

    name, options, cells = CELLS[kind]
    unfitted = entry("types", name)(**options)
    fitted = unfitted.fit([unfitted.read(cell) for cell in cells] * 3, {"side": "input", "rows": 12, "name": kind})
    encoded, problems = fitted.encode_column(cells)
    assert not problems
    values = fitted.collate(tensors(encoded), None)
    given = {key: torch.from_numpy(value) for key, value in fitted.graph_inputs(encoded).items()}
    for width in (8, None):
        stem = fitted.stem(width).eval()
        wanted = [stem(view) for view in fitted.views(values)]
        with monkeypatch.context() as patch:
            patch.setattr(torch.compiler, "is_exporting", lambda: True)
            found = [stem(view) for view in fitted.views(fitted.from_graph(given))]
        if width is None and (sparse := fitted.plain_tensor(stem, fitted.from_graph(given))) is not None:
            torch.testing.assert_close(sparse.to_dense(), found[0], atol=2e-4, rtol=1e-4)
        mean = [torch.stack([_dense(one) for one in side]).mean(0) for side in (wanted, found)]
        wide = min(one.shape[1] for one in mean)
        torch.testing.assert_close(mean[1][:, :wide], mean[0][:, :wide], atol=2e-4, rtol=1e-4)


def _dense(features: Any) -> torch.Tensor:
    """Without what stands behind the end of sequences."""
    if isinstance(features, torch.Tensor):
        return features
    return (features.values * features.mask[..., None]).sum(1)


@pytest.mark.parametrize("cell", [torch.nn.LSTM, torch.nn.GRU])
def test_recurrent_layers_of_graphs_read_as_others(cell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    cells, values, lengths = cell(5, 4, 2, batch_first=True, bidirectional=True), torch.randn(3, 7, 5), torch.tensor([7, 1, 4])
    wanted = _recurrent.read(cells, values, lengths)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(_recurrent.read(cells, values, lengths), wanted)


# --- 8 bits ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "kind"), [
    (np.linspace(0, 1, 400).astype(np.float16).astype(np.float64), np.float16), (np.linspace(0, 1, 400).astype(np.float32).astype(np.float64), np.float32),
    (np.linspace(0, 1, 400), np.float64), (np.arange(400) % 250, np.uint8), (np.arange(400) - 9, np.int16), (np.arange(400) << 40, np.int64),
    (np.full(400, np.nan), np.float16), (np.arange(20), np.int64),
])
def test_constants_take_the_fewest_bits_that_hold_them(values: np.ndarray, kind: type, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    h = onnx.helper
    wide = h.np_dtype_to_tensor_dtype(values.dtype)
    nodes = [h.make_node("Neg", ["x"], ["y"])]
    model = h.make_model(
        h.make_graph(nodes, "g", [], [h.make_tensor_value_info("y", wide, values.shape)], [onnx.numpy_helper.from_array(values, "x")]),
        opset_imports=[h.make_opsetid("", 17)], ir_version=8,
    )

    _graph.save(model, tmp_path / "m.onnx")

    (kept,) = onnx.load(str(tmp_path / "m.onnx")).graph.initializer
    assert onnx.numpy_helper.to_array(kept).dtype == kind
    np.testing.assert_array_equal(session_of(tmp_path / "m.onnx").run(None, {})[0], -values)


def test_eight_bits_are_smaller_and_say_what_they_cost(bars: tuple[Run, Path], tmp_path: Path) -> None:
    folder, parity = export(bars[0].path, "int8", tmp_path / "small", quiet, most_loss=0.2)
    assert (folder / MODEL).stat().st_size < 0.6 * (bars[1] / MODEL).stat().st_size
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "model.onnx", "parity.json", "rooms.json"]
    said = "\n".join(parity["said"])
    assert "worse in 8 bits" in said and "layers in 8 bits" in said and "of the size" in said
    found = mapsto.lite.open(folder).predict([{"image": PIL.Image.new("RGB", (9, 9))}])
    assert found[0]["category"]["value"] in ("across", "down")


def test_members_that_share_a_net_stay_in_float(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["x,shop,y", *(f"{i % 9},{'abc'[i % 3]},{'yes' if i % 9 > 4 else 'no'}" for i in range(200))]))
    run = mapsto.train(table, "x, shop -> y", model="mlp(width=256,members=4,nets=1,line=false)", out=tmp_path, emit=lambda event: None, **FAST)

    folder, parity = export(run.path, "int8", tmp_path / "small", lambda event: None, 1.0)

    assert any("weights alone" in said for said in parity["said"])
    assert len(mapsto.lite.open(folder).predict([{"x": 1, "shop": "a"}])) == 1


def test_layers_stay_in_float_until_the_loss_is_kept_or_it_is_refused(bars: tuple[Run, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mapsto.deploy import int8

    looks: list[int] = []

    def losses(making: Any) -> dict[str, dict[str, float]]:
        looks.append((making.folder / MODEL).stat().st_size)
        return {"category": {"value": 0.3 if len(looks) < most else 0.0, "low": 0.0, "high": 0.4}}

    monkeypatch.setattr(int8, "_losses", losses)
    most = 3
    _, parity = export(bars[0].path, "int8", tmp_path / "mixed", quiet, most_loss=0.1)
    assert len(set(looks)) == 3 and "in float: " in "\n".join(parity["said"])
    most = 100
    with pytest.raises(RunError, match=r"(?s)becomes 0.3 worse.*at most 0.1.*--most-loss"):
        export(bars[0].path, "int8", tmp_path / "none", quiet, most_loss=0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["mixed"]
