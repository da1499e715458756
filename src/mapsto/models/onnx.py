"""An ONNX net as it is, and behind it a linear model, solved: a linear probe (Alain & Bengio 2016,
arXiv:1610.01644) of what the net makes of pictures. Every training picture goes through it once
(`mapsto.steps.solve`), by ONNX Runtime.

A run holds all it needs: the file stands among its weights. Nothing of the net is trained: onnx2torch, which
could make PyTorch layers of it, needs torchvision, which names a PyTorch of its own.

Letters: B rows, C channels, D features, S bytes.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.batch import Field
from mapsto.config import setting
from mapsto.errors import ConfigError, RunError, did_you_mean
from mapsto.models import baseline
from mapsto.models.base import AsTheyAre, Heads, Net, Types, only_input
from mapsto.registry import entry
from mapsto.signature import Signature
from mapsto.types.base import learned

AT_ONCE = 32  # pictures
SIDE = 224  # of a net that takes any
# {pixels: (mean, standard deviation)}, of which 1 is white; ImageNet's as in He et al. 2016 and later
PIXELS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": ((0.0,) * 3, (1.0,) * 3),
    "signed": ((0.5,) * 3, (0.5,) * 3),
    "bytes": ((0.0,) * 3, (1 / 255,) * 3),
}


@dataclass(frozen=True)
class Config:
    file: str = setting("", "the net: an .onnx file that takes pictures (B, C, H, W) in float32")
    pixels: str = setting(
        "imagenet",
        "the numbers it takes: 0 to 1 less ImageNet's mean, by its deviation; 0 to 1; −1 to 1; 0 to 255",
        choices=tuple(PIXELS),
    )
    layer: str = setting(
        "", "what of it is taken, by its name there; default: what its last product is given"
    )
    name: str = learned("")  # of its input
    taken: str = learned("")  # of what is taken
    side: int = learned(0)
    channels: int = learned(0)
    width: int = learned(0)
    size: int = learned(0)  # bytes
    fingerprint: str = learned("")


# ---- before the net is built ----


def wants(signature: Signature, config: Config) -> dict[str, dict[str, Any]]:
    """Pictures as the net takes them."""
    if not config.file:
        return {}
    _, channels, side = _takes(config)
    mean, std = (part[:channels] for part in PIXELS[config.pixels])
    spec = {"size": side, "channels": channels, "mean": mean, "std": std, "fixed": True}
    return {slot.name: spec for slot in signature.inputs if entry("types", slot.type).spatial}


def find(signature: Signature, config: Config) -> dict[str, Any]:
    """What the file says, and what it gives."""
    name, channels, side = _takes(config)
    cut, taken = _cut(config)
    given = _session(cut, config.file).run(None, {name: np.zeros((2, channels, side, side), np.float32)})[0]
    if not isinstance(given, np.ndarray) or len(given) != 2 or given.ndim < 2:
        raise ConfigError(
            f"{config.file}: gives {np.shape(given)} for two pictures, expected (2, …).\nExport it again"
            ' with a dynamic batch, or name another layer: --model "onnx(file=…, layer=…)"'
        )
    return {
        "name": name,
        "taken": taken,
        "side": side,
        "channels": channels,
        "width": pooled(given).shape[1],
        "size": len(cut),
        "fingerprint": hashlib.sha256(cut).hexdigest(),
    }


def solved(config: Config) -> bool:
    """Its linear model is."""
    return True


def defaults(facts: Any, config: Config) -> dict[str, Any]:
    """As of the baseline, whose linear model it has."""
    why = "an ONNX net as it is: pictures go through it once, a linear model is solved"
    return baseline.defaults(facts, baseline.Config()) | {"why": why}


def load_pretrained(model: nn.Module, signature: Signature, config: Config) -> list[str]:
    """The file into the net. What a person should hear of it."""
    cut, _ = _cut(config)
    if hashlib.sha256(cut).hexdigest() != config.fingerprint:
        raise ConfigError(f"{config.file}: has changed meanwhile.\nTrain again.")
    body: Any = model.body
    body.file.copy_(torch.frombuffer(bytearray(cut), dtype=torch.uint8))
    return [
        f"starts from {Path(config.file).name} ({config.fingerprint[:12]}), up to '{config.taken}':"
        f" {config.width:,} features, none of its weights is trained"
    ]


def _takes(config: Config) -> tuple[str, int, int]:
    """(name, channels, side) of what the net is given. ConfigError: no square picture in float32."""
    _refuse_nameless(config)
    if not Path(config.file).is_file():
        what = "it is a folder" if Path(config.file).is_dir() else "no file is there"
        raise ConfigError(f"{config.file}: expected an ONNX net, {what}.\nCheck the path.")
    given = _session(_bytes(config), config.file).get_inputs()
    shape = given[0].shape
    channels, height, width = ((side if isinstance(side, int) else 0) for side in (shape[1:] + [0] * 3)[:3])
    if len(given) != 1 or given[0].type != "tensor(float)" or len(shape) != 4 or channels not in (1, 3):
        found = ", ".join(f"{one.name} {one.shape} {one.type}" for one in given)
        raise ConfigError(
            f"{config.file}: expected a net of one picture (B, 1 or 3, H, W) in float32, it takes {found}."
        )
    if isinstance(shape[0], int):
        raise ConfigError(
            f"{config.file}: takes {shape[0]} picture{'s' * (shape[0] > 1)} at a time, never more.\n"
            "Export it again with a dynamic batch."
        )
    if height != width:
        raise ConfigError(f"{config.file}: takes pictures of {height} × {width}, mapsto makes squares.")
    return given[0].name, channels, height or SIDE


def _refuse_nameless(config: Config) -> None:
    if not config.file:
        raise ConfigError(
            "model 'onnx' is a net in a file, and none is named.\nName it: --model \"onnx(file=net.onnx)\""
        )


def _bytes(config: Config) -> bytes:
    """The file, with what it has beside it, as one."""
    return _load(config.file).SerializeToString()


def _cut(config: Config) -> tuple[bytes, str]:
    """(the net up to what is taken, the name of that)."""
    model = _load(config.file)
    graph, onnx = model.graph, _library()
    made = {name: node for node in graph.node for name in node.output}
    taken = config.layer or _before_last_product(graph, made)
    if taken not in made:
        raise ConfigError(f"{config.file}: has no layer '{taken}'.\n{did_you_mean(taken, made)}")
    needed: set[str] = set()
    todo = [taken]
    while todo:
        name = todo.pop()
        if name in made and name not in needed:
            todo += made[name].input
        needed.add(name)
    kept = [node for node in graph.node if needed & set(node.output)]
    weights = [one for one in graph.initializer if one.name in needed]
    del graph.node[:], graph.initializer[:], graph.output[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights)
    graph.output.append(onnx.ValueInfoProto(name=taken))
    return model.SerializeToString(), taken


def _before_last_product(graph: Any, made: Mapping[str, Any]) -> str:
    """What the last product with weights is given; where it has none, or begins with it, what it gives."""
    weights = {one.name for one in graph.initializer}
    products = [
        node for node in graph.node if node.op_type in ("Gemm", "MatMul") and weights & set(node.input[1:2])
    ]
    given = products[-1].input[0] if products else ""
    return given if given in made else graph.output[0].name


# ---- libraries ----


def _library() -> Any:
    try:
        import onnx
    except ImportError:
        raise ConfigError(
            'ONNX nets need the library onnx, which is not installed: pip install "mapsto[export]"'
        ) from None
    return onnx


def _load(file: str) -> Any:
    onnx = _library()
    from google.protobuf.message import DecodeError  # which onnx needs

    try:
        return onnx.load(file)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as problem:
        said = " ".join(str(problem).split())[:160]
        raise ConfigError(f"{file}: is no ONNX net that can be read ({said}).\nExport it again.") from None


def _session(model: bytes, place: str) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise ConfigError(
            'ONNX nets need the library onnxruntime, which is not installed: pip install "mapsto[export]"'
        ) from None
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # which burns idle processors
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    told = onnxruntime.capi.onnxruntime_pybind11_state  # pyright: ignore[reportAttributeAccessIssue]
    problems = (told.Fail, told.InvalidProtobuf, told.InvalidGraph, told.InvalidArgument, told.NotImplemented)
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except problems as problem:
        said = " ".join(str(problem).split())[:160]
        raise RunError(f"{place}: cannot be run by ONNX Runtime ({said}).\nExport it again.") from None


# ---- the net ----


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> Net:
    _refuse_nameless(config)
    name = only_input(signature, types, "onnx", "image")
    column_type: Any = types["input", name]
    if (column_type.planes, column_type.side) != (config.channels, config.side):
        raise ConfigError(
            f"model 'onnx': its net takes {config.channels} × {config.side} × {config.side}, pictures are"
            f" {column_type.planes} × {column_type.side} × {column_type.side}.\nLeave size and channels out."
        )
    heads = Heads(signature, types, kinds, config.width, "pooled")
    return Net(AsTheyAre(), Probe(name, config), heads)


class Probe(baseline.Body):
    """{slot: pictures (B, C, side, side)} -> (B, D): what the net makes of them, centred and scaled for the
    linear model. file (S,): the net, as bytes."""

    file: Tensor
    apart = "its net is run by ONNX Runtime"

    def __init__(self, slot: str, config: Config):
        super().__init__(config.width)
        self.slot, self.given = slot, config.name
        self.register_buffer("file", torch.zeros(config.size, dtype=torch.uint8))
        self._session: tuple[int, Any] | None = None  # (version of the bytes that it was made of, session)
        self._lock = threading.Lock()

    def plain(self, inputs: Mapping[str, Field]) -> Tensor:  # type: ignore[override]
        """(B, D): what the net makes of pictures."""
        pictures: Any = inputs[self.slot]
        values = pictures.detach().float().cpu().numpy()
        session = self._opened()
        parts = [
            pooled(session.run(None, {self.given: values[low : low + AT_ONCE]})[0])
            for low in range(0, len(values), AT_ONCE)
        ]
        found = np.concatenate(parts) if parts else np.zeros((0, len(self.centre)), np.float32)
        return torch.from_numpy(np.ascontiguousarray(found)).to(self.centre.device)

    def forward(self, features: Mapping[str, Any]) -> Tensor:
        return super().forward({"": self.plain(features)})

    def _opened(self) -> Any:
        """The session of the bytes as they are now."""
        with self._lock:
            if self._session is None or self._session[0] != self.file._version:
                made = _session(self.file.cpu().numpy().tobytes(), "the run's ONNX net")
                self._session = (self.file._version, made)
            return self._session[1]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_session", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._session, self._lock = None, threading.Lock()


def pooled(given: np.ndarray) -> np.ndarray:
    """(B, D, …) or tokens (B, T, D) -> (B, D) float32: the mean over places."""
    if given.ndim == 3:
        return given.mean(1, dtype=np.float32)
    return given.reshape(*given.shape[:2], -1).mean(2, dtype=np.float32) if given.ndim > 2 else given
