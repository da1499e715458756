"""--model "onnx(file=…)": a net from elsewhere, as it is, behind which a linear model is solved."""

from __future__ import annotations

import copy
import shutil
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

import mapsto
from mapsto.cli import main
from mapsto.deploy import export
from mapsto.errors import ConfigError
from mapsto.models import onnx as model
from mapsto.run import Run

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("one_thread", "without_reports")


def net() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10)).eval()


def written(path: Path, batch: str | int = "rows", sides: tuple[int, int] = (16, 16), inputs: int = 1) -> Path:
    """The net above as a file of ONNX, made by hand: two products and a pooling."""
    h, n = onnx.helper, onnx.numpy_helper
    weights = {name: value.detach().numpy() for name, value in net().state_dict().items()}
    nodes = [
        h.make_node("Conv", ["x", "0.weight", "0.bias"], ["conv"], pads=[1, 1, 1, 1]), h.make_node("Relu", ["conv"], ["relu"]),
        h.make_node("AveragePool", ["relu"], ["map"], kernel_shape=[8, 8], strides=[8, 8]), h.make_node("Flatten", ["map"], ["features"]),
        h.make_node("Gemm", ["features", "4.weight", "4.bias"], ["scores"], transB=1),
    ]
    taken = [h.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [batch, 3, *sides]) for name in ("x", "z")[:inputs]]
    given = [h.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [batch, 10])]
    graph = h.make_graph(nodes, "net", taken, given, [n.from_array(value, name) for name, value in weights.items()])
    onnx.save(h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of two textures, and the net."""
    folder, draw = tmp_path_factory.mktemp("onnx"), np.random.default_rng(0)
    for kind in ("rows", "columns"):
        (folder / "pictures" / kind).mkdir(parents=True)
        for i in range(60):
            lines = draw.integers(0, 256, (20, 1, 3)).repeat(20, 1).astype(np.uint8)
            picture = PIL.Image.fromarray(lines if kind == "rows" else lines.swapaxes(0, 1).copy())
            picture.save(folder / "pictures" / kind / f"{i}.png")
    written(folder / "net.onnx")
    return folder


@pytest.fixture(scope="module")
def run(place: Path) -> Run:
    return mapsto.train(place / "pictures", model=f"onnx(file={place / 'net.onnx'},pixels=unit)", out=place / "runs", emit=lambda event: None)


def test_a_linear_model_behind_it_tells_what_it_sees(run: Run) -> None:
    assert run.metrics["test"]["category"]["accuracy"]["value"] >= 0.9
    assert any("starts from net.onnx" in line and "up to 'features': 32 features" in line for line in run.record["said"])


def test_its_features_are_those_of_the_net_it_was(run: Run) -> None:
    pictures = torch.rand(40, 3, 16, 16)

    found = run.model.body.plain({"image": pictures})

    with torch.no_grad():
        torch.testing.assert_close(found, net()[:4](pictures), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(copy.deepcopy(run.model).body.plain({"image": pictures}), found)


def test_a_run_answers_when_the_file_is_gone(run: Run, place: Path, tmp_path: Path) -> None:
    before = [answer.to_json() for answer in run.predict(place / "pictures")]
    (place / "net.onnx").rename(tmp_path / "net.onnx")
    try:
        moved = Run.open(shutil.copytree(run.path, tmp_path / "moved"))
        assert [answer.to_json() for answer in moved.predict(place / "pictures")] == before
    finally:
        (tmp_path / "net.onnx").rename(place / "net.onnx")


def test_another_layer_can_be_taken(place: Path) -> None:
    config = model.Config(file=str(place / "net.onnx"), layer="map")

    found = model.find(None, config)  # type: ignore[arg-type]

    assert (found["taken"], found["width"], found["side"], found["channels"]) == ("map", 8, 16, 3)


@pytest.mark.parametrize(("options", "says"), [
    ({"batch": 1}, "takes 1 picture at a time"), ({"sides": (8, 32)}, "pictures of 8 × 32"), ({"inputs": 2}, "expected a net of one picture"),
])
def test_nets_that_do_not_fit_are_refused(options: dict, says: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "net.onnx", **options)

    assert main(["train", str(place / "pictures"), "--model", f"onnx(file={path})", "--out", str(tmp_path / "runs")]) == 2

    said = capsys.readouterr().err
    assert says in said and len(said.splitlines()) <= 3
    assert not list((tmp_path / "runs").glob("*"))


@pytest.mark.parametrize(("model", "says"), [
    ("onnx", "none is named"), ("onnx(file=nowhere.onnx)", "no file is there"), ("onnx(file={broken})", "is no ONNX net that can be read"),
    ("onnx(file={net},layer=featres)", "did you mean 'features'"),
])
def test_files_that_are_none_are_refused(model: str, says: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"\xff\xd8 no net")
    words = model.format(broken=tmp_path / "broken.onnx", net=place / "net.onnx")

    assert main(["train", str(place / "pictures"), "--model", words, "--out", str(tmp_path / "runs")]) == 2

    assert says in capsys.readouterr().err


def test_it_is_not_exported_again(run: Run, tmp_path: Path) -> None:
    with warnings.catch_warnings(), pytest.raises(ConfigError, match="its net is run by ONNX Runtime"):
        export(run.path, "onnx", tmp_path / "again", lambda event: None)
