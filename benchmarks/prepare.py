"""Settle a workload once: mapsto reads the data and chooses nothing that the workload does not say; arrays
and run go into a folder.

python -m benchmarks.prepare NAME DATA_FOLDER FOLDER

FOLDER/run         the run, settled and not trained: the net and its first weights
FOLDER/*.npy       the training rows as the net takes them: x or numbers and codes or tokens and offsets; y
FOLDER/about.json  names of columns, size of the vocabulary
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workload import Workload
from benchmarks.workloads import workload_of

PIECE = 4096


def files_of(workload: Workload, data: Path, folder: Path) -> list[str]:
    """The workload's files; members of archives are unpacked into the folder."""
    found = []
    for name in workload.data:
        archive, _, member = name.partition("!")
        if not member:
            found.append(str(data / archive))
            continue
        with zipfile.ZipFile(data / archive) as opened:
            found.append(opened.extract(member, folder / "data"))
    return found


def settled(workload: Workload, files: list[str], folder: Path) -> Any:
    """The run, with everything decided that stands before the first step, and its store."""
    from mapsto.config import settings_of
    from mapsto.data.open import open_source
    from mapsto.run import Run
    from mapsto.steps.prepare import prepare, store_of

    settings = settings_of(workload.options())
    source = open_source(files[0], settings.reading)
    asked = {"name": source.name, "locations": list(source.locations), "fingerprint": source.fingerprint}
    made = Run.create(
        folder / "runs",
        workload.name,
        {"data": asked, "asked": workload.signature, "settings": settings.to_json()},
    )
    prepare(made, source, lambda event: None)
    run = Run.open(Path(shutil.move(made.path, folder / "run")))
    return run, store_of(run, lambda: source, lambda event: None)


def arrays_of(workload: Workload, store: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The training rows, not augmented, as numpy; and the names of their columns."""
    rows = store.rows("train")
    batches = [store.batch(rows[low : low + PIECE]) for low in range(0, len(rows), PIECE)]
    slot = next(iter(batches[0].inputs))
    numbers = [
        name for name, value in batches[0].inputs.items() if workload.kind == "cells" and value.ndim == 2
    ]
    codes = [
        name for name, value in batches[0].inputs.items() if workload.kind == "cells" and value.ndim == 1
    ]
    arrays = {"y": np.concatenate([next(iter(batch.targets.values())).numpy() for batch in batches])}
    if workload.loss == "mse":
        arrays["y"] = ((arrays["y"] - arrays["y"].mean()) / arrays["y"].std()).astype(np.float32)
    if workload.kind == "pictures":
        arrays["x"] = np.concatenate([batch.inputs[slot].numpy() for batch in batches])
    elif workload.kind == "texts":
        texts = [
            row[:length].numpy()
            for batch in batches
            for row, length in zip(batch.inputs[slot].values, batch.inputs[slot].lengths, strict=True)
        ]
        arrays |= {"tokens": np.concatenate(texts), "offsets": np.cumsum([0, *map(len, texts)])}
    else:
        arrays["numbers"] = np.concatenate(
            [
                _beside([batch.inputs[name].numpy() for name in numbers], batch.size, np.float32)
                for batch in batches
            ]
        )
        arrays["codes"] = np.concatenate(
            [
                _beside([batch.inputs[name].numpy() for name in codes], batch.size, np.int64)
                for batch in batches
            ]
        )
    return arrays, {"numbers": numbers, "codes": codes, "slot": slot}


def _beside(columns: list[np.ndarray], rows: int, kind: Any) -> np.ndarray:
    return np.stack(columns, 1) if columns else np.empty((rows, 0), kind)


def windows_of(run: Any, store: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The training text as one sequence of tokens."""
    from mapsto.learners.next_token import Stream

    slot = run.signature.outputs[0].name
    room = run.types["output", slot]
    stream = Stream(store, slot, "train", room.most)
    return {"tokens": stream.tokens(np.zeros(1, np.int64), len(stream))[0]}, {
        "block": room.most,
        "vocabulary": room.vocabulary_size,
        "slot": slot,
    }


def _code() -> str:
    """The version of mapsto's code: what it settled earlier may not fit what it is now."""
    files = sorted((Path(__file__).parents[1] / "src").rglob("*.py"))
    return hashlib.blake2b(b"".join(file.read_bytes() for file in files), digest_size=8).hexdigest()


def prepare(workload: Workload, data: Path, folder: Path) -> None:
    """Everything into the folder, unless it lies there; it appears by rename."""
    stamp = f"{workload!r} {_code()}"
    if (folder / "about.json").exists() and json.loads((folder / "about.json").read_text())["stamp"] == stamp:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = files_of(workload, data, folder)
    run, store = settled(workload, files, folder)
    arrays, about = windows_of(run, store) if workload.kind == "windows" else arrays_of(workload, store)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    (folder / "about.json").write_text(
        json.dumps({"numbers": [], "codes": [], **about, "files": files, "stamp": stamp})
    )


if __name__ == "__main__":
    prepare(workload_of(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
