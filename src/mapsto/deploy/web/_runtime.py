"""onnxruntime-web, the library that runs a graph in a browser: its two files, from where somebody has it. It
is copied into what is exported, so that a page fetches nothing from elsewhere.

Of its builds the plain one, for processors alone (14 MB; those for graphics cards have 17 to 28): mapsto's
nets are small, and it answers as the run does in every browser.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mapsto.errors import ConfigError

# {file of the package's `dist`: as it is called here}: many servers do not know that .mjs is a script
FILES = {"ort.wasm.bundle.min.mjs": "ort.js", "ort-wasm-simd-threaded.wasm": "ort.wasm"}
SHIPPED = Path(__file__).parent / "onnxruntime-web"  # where a build of mapsto may have put the package
WAY = (
    "Get it once (npm pack onnxruntime-web) and name the file or its folder: --ort onnxruntime-web-1.30.0.tgz"
)


@dataclass(frozen=True)
class Runtime:
    version: str
    files: Mapping[str, bytes]


def opened(given: Path | None) -> Runtime:
    """given: the npm package as a .tgz, unpacked, or its folder `dist`; None: the one that came with mapsto.
    ConfigError: none did, or it is none."""
    if given is None and not SHIPPED.is_dir():
        raise ConfigError(
            f"--to web: needs onnxruntime-web, which runs the net in a browser and lies nowhere here.\n{WAY}"
        )
    path = given or SHIPPED
    try:
        found = _packed(path) if path.is_file() else _folder(path)
        version = json.loads(found.pop("package.json")).get("version", "")
    except (OSError, tarfile.TarError, KeyError, ValueError) as problem:
        raise ConfigError(
            f"--ort {path}: expected the npm package onnxruntime-web, found none ({_why(problem)}).\n{WAY}"
        ) from None
    return Runtime(str(version), found)


def _folder(path: Path) -> dict[str, bytes]:
    dist = path / "dist" if (path / "dist").is_dir() else path
    found = {name: (dist / file).read_bytes() for file, name in FILES.items()}
    record = dist.parent / "package.json"
    return {**found, "package.json": record.read_bytes() if record.is_file() else b"{}"}


def _packed(path: Path) -> dict[str, bytes]:
    """Nothing is unpacked but the files that are wanted."""
    wanted = {f"package/dist/{file}": name for file, name in FILES.items()}
    wanted["package/package.json"] = "package.json"
    found: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.name in wanted and member.isfile() else None
            if file is not None:
                found[wanted[member.name]] = file.read()
    lacking = [place for place, name in wanted.items() if name not in found]
    if lacking:
        raise KeyError(lacking[0])
    return found


def _why(problem: Exception) -> str:
    if isinstance(problem, KeyError):
        return f"no {problem.args[0]} in it"
    return getattr(problem, "strerror", None) or str(problem).partition("\n")[0][:120]
