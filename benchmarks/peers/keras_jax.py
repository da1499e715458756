"""Keras 3 on its jax backend."""

from __future__ import annotations

import os

from benchmarks.clock import Clock
from benchmarks.peers import keras
from benchmarks.task import Task


def run(task: Task, clock: Clock) -> None:
    os.environ["KERAS_BACKEND"] = "jax"
    keras.run(task, clock)
