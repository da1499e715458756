"""Keras 3: `model.compile` and `model.fit` with their defaults
(https://keras.io/guides/training_with_built_in_methods/).

The nets are written with Keras's own layers: ResNet-20 with pre-activation ("ResNet v2" of
https://keras.io/examples/vision/), and a decoder of `MultiHeadAttention` with a causal mask as in
https://keras.io/examples/generative/text_generation_gpt/. Layers, widths and heads are those of the others'
nets; learned positions, layer norm and GELU stand where mapsto's decoder has rotary positions, RMS norm and
ReLU²: as many products, and fewer small operations. Letters: B batch, T time, V vocabulary.
"""

from __future__ import annotations

import os
from typing import Any

from benchmarks.clock import Clock
from benchmarks.task import Task
from benchmarks.workload import STEPS
from mapsto.signature import parse_call


def run(task: Task, clock: Clock) -> None:
    """The backend is chosen by KERAS_BACKEND before Keras is loaded."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(
        0, cores[: int(os.environ.get("OMP_NUM_THREADS", len(cores)))]
    )  # XLA asks for no number of threads
    import keras

    class Turns(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            clock.step(task.workload.batch)

    twins = {"pictures": _pictures, "windows": _windows}
    if task.workload.kind not in twins:
        raise ValueError(f"no Keras twin of {task.workload.model}")
    inputs, target, model = twins[task.workload.kind](keras, task)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(_optimizer(keras, task), loss)
    whole = len(target) // task.workload.batch * task.workload.batch
    model.fit(
        inputs[:whole],
        target[:whole],
        batch_size=task.workload.batch,
        epochs=10**6,
        verbose=0,
        callbacks=[Turns()],
    )


def _optimizer(keras: Any, task: Task) -> Any:
    at = task.workload
    rate = keras.optimizers.schedules.PolynomialDecay(at.lr, STEPS, 0.0)
    if at.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=at.momentum, nesterov=True, weight_decay=at.weight_decay)
    return keras.optimizers.AdamW(rate, beta_1=at.momentum, beta_2=0.95, weight_decay=at.weight_decay)


def _pictures(keras: Any, task: Task) -> tuple[Any, Any, Any]:
    """(B, H, W, C) pictures, (B,) labels, ResNet of mapsto's depth."""
    layers = keras.layers
    pictures, labels = task.array("x").permute(0, 2, 3, 1).contiguous().numpy(), task.array("y").numpy()
    name, options = parse_call(task.workload.model, "model")
    if name != "resnet":
        raise ValueError(f"no Keras twin of {task.workload.model}")
    start = layers.Input(pictures.shape[1:])
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(start)
    for stage in range(3):
        for block in range((int(options["depth"]) - 2) // 6):
            x = _block(layers, x, 16 * 2**stage, 2 if stage and not block else 1)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    return pictures, labels, keras.Model(start, layers.Dense(int(labels.max()) + 1)(x))


def _block(layers: Any, x: Any, width: int, stride: int) -> Any:
    """Norm, ReLU, convolution, twice; where shapes change, average pooling and a 1×1 convolution."""
    hidden = layers.ReLU()(layers.BatchNormalization()(x))
    shortcut = x
    if stride > 1 or x.shape[-1] != width:
        pooled = layers.AveragePooling2D(stride, padding="same")(hidden) if stride > 1 else hidden
        shortcut = layers.Conv2D(width, 1, use_bias=False)(pooled)
    y = layers.Conv2D(width, 3, strides=stride, padding="same", use_bias=False)(hidden)
    y = layers.Conv2D(width, 3, padding="same", use_bias=False)(layers.ReLU()(layers.BatchNormalization()(y)))
    return layers.Add()([shortcut, y])


def _windows(keras: Any, task: Task) -> tuple[Any, Any, Any]:
    """(B, T) tokens, the same shifted by one, a decoder."""
    import numpy as np

    layers, block, vocabulary = keras.layers, task.about["block"], task.about["vocabulary"]
    _, options = parse_call(task.workload.model, "model")
    depth, heads, width = (int(options[name]) for name in ("depth", "heads", "width"))
    tokens = task.array("tokens").numpy().astype(np.int32)
    found = np.lib.stride_tricks.sliding_window_view(tokens, block + 1)[:: max(1, len(tokens) // 100_000)]
    start = layers.Input((block,), dtype="int32")
    places = keras.ops.cumsum(keras.ops.ones_like(start), axis=1) - 1  # (B, T)
    x = layers.Embedding(vocabulary, width)(start) + layers.Embedding(block, width)(places)
    for _ in range(depth):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(heads, width // heads, use_bias=False)(y, y, use_causal_mask=True)
        y = layers.Dense(4 * width, activation="gelu", use_bias=False)(layers.LayerNormalization()(x))
        x = x + layers.Dense(width, use_bias=False)(y)
    logits = layers.Dense(vocabulary, use_bias=False)(layers.LayerNormalization()(x))
    return np.ascontiguousarray(found[:, :-1]), np.ascontiguousarray(found[:, 1:]), keras.Model(start, logits)
