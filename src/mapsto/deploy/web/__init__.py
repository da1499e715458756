"""The net in float32 as a folder that any web server shows and a visitor's browser runs: the page of `mapsto
serve`, with another file of where answers come from (asking.js here), ONNX Runtime's wasm, and of each type
and kind of answer its own script, which stands beside it (`mapsto.registry.scripts`).

index.html, page/    the page
web.json             its fields, the columns of its answers, and which scripts read and tell them
types/, outputs/     these scripts
runtime/             onnxruntime-web: its script and its wasm, the plain one
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mapsto import page
from mapsto.deploy import _card, onnx
from mapsto.deploy._making import Making
from mapsto.deploy.web import _runtime
from mapsto.errors import ConfigError
from mapsto.files import write_json, write_text
from mapsto.lite.description import describe
from mapsto.lite.exported import MODEL
from mapsto.lite.rows import classes_of
from mapsto.registry import HERE as TREE
from mapsto.registry.scripts import place_of, script_of, with_imports
from mapsto.run import Run

HELP = "the net in float32 in a page that answers in the visitor's browser"
HERE = Path(__file__).parent
FILE, RUNTIME, PORT = "web.json", "runtime", 8000
SHARED = "types/_web.js"  # what the page itself takes of the types' scripts
OPTIONS = ("ort",)
# What the page may load: its own files, and pictures and sounds that a visitor gives it.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data:; media-src data:; base-uri 'none';"
    " form-action 'none'"
)
HEAD = f"""<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<script src="page/from_disk.js" defer></script>
"""


def write(making: Making) -> list[str]:
    sides = _sides(making.run)
    runtime = _runtime.opened(making.ort)
    said = onnx.write(making)
    _write_page(making.folder)
    scripts = [(one["script"], one.pop("file")) for each in sides.values() for one in each]
    for place, file in with_imports([*scripts, (SHARED, TREE / SHARED)]).items():
        _copy(file, making.folder / place)
    for name, data in runtime.files.items():
        path = making.folder / RUNTIME / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    model, wasm = (making.folder / MODEL).stat().st_size, sum(map(len, runtime.files.values()))
    told = _description(making.run, making.target.name) | {"loads": _card.size(model + wasm)}
    write_json(making.folder / FILE, {"description": told, **sides})
    return [
        *said,
        f"a visitor loads {_card.size(model)} of the net and {_card.size(wasm)} of onnxruntime-web"
        f" {runtime.version} (MIT licence), once",
        f"try it: python -m http.server {PORT} --directory {making.target}, then http://localhost:{PORT}",
    ]


def _sides(run: Run) -> dict[str, list[dict[str, Any]]]:
    """{"inputs", "outputs": what tells each slot in a browser}. ConfigError: one cannot be told there."""
    types = {slot.name: run.types["input", slot.name] for slot in run.signature.inputs}
    inputs = [
        {"name": slot.name, "column": slot.column, **_side(run, types[slot.name], "types", str(slot.type))}
        for slot in run.signature.inputs
    ]
    outputs = []
    for slot in run.signature.outputs:
        within = run.types["output", slot.name].annotates(run.signature)
        side = _side(run, run.output(slot.name), "outputs", run.choice.kinds[slot.name])
        outputs.append({"name": slot.name, "within": within, **side})
    return {"inputs": inputs, "outputs": outputs}


def _side(run: Run, told: Any, room: str, name: str) -> dict[str, Any]:
    """One fitted type or kind of answer: its script, and what that is given."""
    script = script_of(type(told))
    if script is None:
        what = f"type '{name}'" if room == "types" else f"answers of the kind '{name}'"
        raise ConfigError(
            f"{run.path}: learned {run.signature}, which no page can answer yet: {what} cannot be told in a"
            " browser.\nUse --to onnx, and mapsto serve."
        )
    return {"script": place_of(type(told), room, name), "options": told.web_options(), "file": script}


def _description(run: Run, name: str) -> dict[str, Any]:
    """As `mapsto serve` gives it to its page. "local": there is no server to be asked from elsewhere."""
    has_classes = any(run.output(slot.name).chances is not None for slot in run.signature.outputs)
    metrics = {
        slot: {one: found.get("value") for one, found in by_name.items()}
        for slot, by_name in run.metrics.get("test", {}).items()
    }
    return {
        **describe(run, classes_of(run) if has_classes else {}, names=True),
        "signature": run.record.get("signature_text", str(run.signature)),
        "name": name,
        "local": True,
        "writes": "",
        "explains": False,
        "metrics": metrics,
    }


def _write_page(folder: Path) -> None:
    for pattern in page.SHOWN:
        for file in page.HERE.glob(pattern):
            _copy(file, folder / "page" / file.relative_to(page.HERE))
    for file in HERE.glob("*.js"):  # in place of those that ask a server
        _copy(file, folder / "page" / file.name)
    index = (page.HERE / page.INDEX).read_text(encoding="utf-8")
    write_text(folder / page.INDEX, index.replace("<title>", f"{HEAD}<title>", 1))


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)
