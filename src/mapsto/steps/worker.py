"""One of several processes that learn a run together: python -m mapsto.steps.worker RUN STARTED [FILE …]

`mapsto train … --devices 2` starts them once everything is decided and encoded; when the last checkpoint
stands, the process that started them goes on from there alone. A process ends with the one that started it:
their standard input is a pipe of its.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import torch

from mapsto.errors import MapstoError, Stopped
from mapsto.registry.trust import trust_all
from mapsto.run import Run
from mapsto.steps.prepare import reopen, store_of
from mapsto.steps.solve import budget_after
from mapsto.training.process_group import join_group
from mapsto.training.processes import STOPPED
from mapsto.training.trainer import Trainer


def main(words: list[str]) -> int:
    """Learn until the last checkpoint is written. The exit code."""
    threading.Thread(target=_end_with_the_other, daemon=True).start()
    trust_all(words[2:])
    run, started = Run.open(words[0]), float(words[1])
    together = join_group()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // together.size))
    emit = _tell if together.rank == 0 else (lambda event: None)
    try:
        store = store_of(run, lambda: reopen(run), lambda event: None)
        learner = run.new_learner(run.first_model(), store)
        budget = budget_after(run, learner, store)
        trainer = Trainer(
            learner, run.path, budget, run.choice.best, emit, time.monotonic() - started, together
        )
        trainer.learn()
        trainer.save()
    except MapstoError as problem:
        print(" ".join(str(problem).split()), file=sys.stderr)
        return 2
    except Stopped:
        return STOPPED
    together.close()
    return 0


def _tell(event: Mapping[str, Any]) -> None:
    print(json.dumps(event), flush=True)


def _end_with_the_other() -> None:
    """The pipe ends when the process that started us does: what it will not wait for need not be learned."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
