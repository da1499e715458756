"""What the folder of a public model says of itself, before the library transformers reads a word of it.

A configuration can ask for kernels from the network, name code, other folders or files, or a billion layers.
So the library never sees the folder: it sees a room of its own (`airlock`) that holds the JSON files without
such words, and links to the safetensors files that the folder itself holds.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mapsto.errors import ConfigError, RunError
from mapsto.files import read_json

LAYERS = 1_000  # more than any published model has (the deepest have some 130)
NUMBER = 20_000_000  # vocabularies reach 300,000, contexts 10,000,000
ASKS = re.compile(
    r"^_|implementation|kernel|auto_map|adapter|transformers_weights|custom_|trust|distributed|tp_plan|pp_plan"
    r"|fusion|per_layer_config|name_or_path|chat_template"
)  # keys that name code, files, kernels or places: none decides what a model computes
TOLD = ("tokenizer_config.json", "special_tokens_map.json", "generation_config.json")
LABELS = ("id2label", "label2id")  # whose keys are words of people
INDEX = "*.safetensors.index.json"


def read(source: str, path: Path, shape: Any = dict[str, Any]) -> Any:
    """A JSON file of a public model. ConfigError: damaged, or of another shape."""
    try:
        return read_json(path, shape)
    except RunError as problem:
        raise ConfigError(f"hub:{source}: {problem}") from None


@contextmanager
def foreign(said: str, advice: str) -> Iterator[None]:
    """What the library raises of files that somebody else made, as a ConfigError."""
    try:
        yield
    except ConfigError:
        raise
    except Exception as problem:  # noqa: BLE001  it raises whatever a file brings it to
        raise ConfigError(f"{said} ({first_line(problem)}).\n{advice}") from None


def first_line(problem: BaseException) -> str:
    """Its first line; the first two where that one ends in a colon."""
    lines = str(problem).strip().splitlines() or [type(problem).__name__]
    return " ".join(" ".join(lines[: 2 if lines[0].rstrip().endswith(":") else 1]).split())[:140]


def harmless(source: str, record: dict[str, Any]) -> dict[str, Any]:
    """A configuration without keys that ask for anything but an architecture. ConfigError: sizes that no
    model has."""
    if "quantization_config" in record:
        raise ConfigError(
            f"hub:{source}: its weights are quantised, and cannot be trained.\nTake the model they were made"
            " from."
        )
    kept = _harmless(source, "", record)
    if not isinstance(kept.get("model_max_length", 0), int | float):
        del kept["model_max_length"]
    return kept


def _harmless(source: str, key: str, value: Any) -> Any:
    if isinstance(value, dict) and key not in LABELS:
        return {name: _harmless(source, name, one) for name, one in value.items() if not ASKS.search(name)}
    if isinstance(value, list):
        return [_harmless(source, key, one) for one in value]
    most = LAYERS if "layer" in key else NUMBER
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > most:
        if isinstance(value, float) or key == "model_max_length":
            return value  # 1e30 means that there is no limit
        raise ConfigError(
            f"hub:{source}: its config.json says {key} {value:.3g}; no model has more than {most:,}.\nCopy it"
            " again."
        )
    return value


@contextmanager
def airlock(source: str, folder: Path, weights: bool = False) -> Iterator[Path]:
    """A folder with what the library may read of a public model; weights: with links to its safetensors."""
    with tempfile.TemporaryDirectory(prefix="mapsto-hub-") as made:
        room = Path(made)
        for name in ("config.json", *TOLD):
            if (folder / name).is_file():
                _write(room / name, harmless(source, read(source, folder / name)))
        if (folder / "added_tokens.json").is_file():
            _write(room / "added_tokens.json", read(source, folder / "added_tokens.json", dict[str, int]))
        if (folder / "tokenizer.json").is_file():
            (room / "tokenizer.json").symlink_to((folder / "tokenizer.json").resolve())
        if weights:
            _link_weights(source, folder, room)
        yield room


def _link_weights(source: str, folder: Path, room: Path) -> None:
    files = {path.name: path for path in folder.glob("*.safetensors") if path.is_file()}
    for name, path in files.items():
        (room / name).symlink_to(path.resolve())
    for path in folder.glob(INDEX):
        index = read(source, path, {"weight_map": dict[str, str]})
        if strange := sorted(set(index["weight_map"].values()) - set(files)):
            raise ConfigError(
                f"hub:{source}: {path.name} names {strange[0]!r}, which is no safetensors file of its"
                " folder.\nCopy it again, whole."
            )
        _write(room / path.name, {"metadata": {}, "weight_map": index["weight_map"]})


def _write(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record), encoding="utf-8")
