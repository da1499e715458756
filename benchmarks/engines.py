"""Engines: the same net, data, optimizer and batch in every contender; steady rows per second."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.turns import Contender, Process, take_turns
from benchmarks.workloads import workload_of

ROOT = Path(__file__).parents[1]
OWN = (
    "ours",
    "tuned",
    "plain",
    "predict_ours",
    "predict_raw",
)  # these need torch alone, and run in our environment
WARM = 1.0  # seconds of steps that are not counted


@dataclass(frozen=True)
class Setting:
    """Where things lie and how long turns are. seconds and steps: at least, of each turn. python: of the
    peers' environment."""

    data: Path
    work: Path
    python: str | None
    threads: int | None
    rounds: int
    seconds: float
    steps: int
    quick: bool = False

    def environment(self) -> dict[str, str]:
        """For every contender: the same code, threads and cache of ours; nobody looks things up on the
        net."""
        threads = str(self.threads or len(os.sched_getaffinity(0)))
        return {
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
            "MAPSTO_CACHE": str(self.work / "cache"),
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONWARNINGS": "ignore",
        }


def compare(name: str, setting: Setting, peers: Sequence[str] | None = None) -> dict[str, Any]:
    """One workload -> {"says", "batch", "bars", "contenders": {peer: rates or why it failed}}."""
    workload = workload_of(name)
    folder = setting.work / name
    found: dict[str, Any] = {
        "says": workload.says,
        "batch": workload.batch,
        "bars": dict(workload.bars),
        "contenders": {},
    }
    prepared = _python(
        sys.executable, ["benchmarks.prepare", name, str(setting.data), str(folder)], setting.environment()
    )
    if prepared:
        return found | {"failed": prepared}
    contenders: list[Contender] = []
    for peer in peers or workload.peers:
        python = sys.executable if peer.partition("@")[0] in OWN else setting.python
        if python is None:
            found["contenders"][peer] = {
                "failed": "no environment for peers: benchmarks/install.sh, then --peers-python"
            }
            continue
        command = [python, "-m", "benchmarks.worker", peer, name, str(folder)]
        contenders.append(
            Process(peer, command, setting.environment(), folder / f"{peer}.log", setting.quick)
        )
    warm = setting.seconds if setting.quick else WARM
    found["contenders"] |= take_turns(contenders, setting.rounds, setting.seconds, setting.steps, warm)
    return found


def _python(python: str, words: Sequence[str], environment: Mapping[str, str]) -> str:
    """Run a module to its end -> the last line of what it complained of, "" when it went well."""
    done = subprocess.run(
        [python, "-m", *words], env={**os.environ, **environment}, capture_output=True, text=True
    )
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1][:200] if lines else f"exit code {done.returncode}")
