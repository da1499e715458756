"""Start-up: seconds of whole commands, in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

from benchmarks.engines import Setting

COMMANDS: dict[
    str, tuple[bool, list[str]]
] = {  # name: (does it need the peers' environment, words behind the interpreter)
    "python": (False, ["-c", "pass"]),
    "import mapsto": (False, ["-c", "import mapsto"]),
    "mapsto --help": (False, ["-m", "mapsto.cli", "--help"]),
    "import mapsto.api": (False, ["-c", "import mapsto.api"]),
    "import torch": (False, ["-c", "import torch"]),
    "import sklearn.ensemble": (False, ["-c", "import sklearn.ensemble"]),
    "import lightning": (True, ["-c", "import lightning"]),
    "from transformers import Trainer": (True, ["-c", "from transformers import Trainer"]),
    "import keras (jax)": (True, ["-c", "import os; os.environ['KERAS_BACKEND'] = 'jax'; import keras"]),
    "import skorch": (True, ["-c", "import skorch"]),
}


def compare(setting: Setting) -> dict[str, Any]:
    """{"contenders": {command: {"seconds": [a round each]} or {"failed": why}}}."""
    found: dict[str, Any] = {}
    environment = {**os.environ, **setting.environment()}
    for _ in range(setting.rounds):
        for name, (peers, words) in COMMANDS.items():
            python = setting.python if peers else sys.executable
            if python is None or "failed" in found.get(name, {}):
                continue
            start = time.perf_counter()
            done = subprocess.run([python, *words], env=environment, capture_output=True, text=True)
            if done.returncode:
                found[name] = {"failed": done.stderr.strip().splitlines()[-1][:200]}
            else:
                found.setdefault(name, {"seconds": []})["seconds"].append(time.perf_counter() - start)
    return {"says": "seconds of whole commands", "contenders": found}
