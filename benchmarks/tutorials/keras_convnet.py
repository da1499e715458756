"""Keras, "Simple MNIST convnet" (https://keras.io/examples/vision/mnist_convnet/), on Fashion-MNIST: 15
epochs of batch 128, Adam, a tenth for validation. On the JAX backend, Keras's fastest here."""

from __future__ import annotations

import os
from typing import Any

from benchmarks.curve import Curve


def run(files: dict[str, str], curve: Curve, quick: bool) -> None:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras
    from keras import layers

    from benchmarks.tutorials.read import fashion

    (x, y), (x_test, y_test) = fashion(files["fashion"], "train"), fashion(files["fashion"], "t10k")
    x, x_test = (part[..., None].astype("float32") / 255 for part in (x, x_test))
    y, y_test = keras.utils.to_categorical(y, 10), keras.utils.to_categorical(y_test, 10)
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])

    class Measured(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            curve.measure(
                lambda: (
                    model.predict(x_test, batch_size=512, verbose=0).argmax(1) == y_test.argmax(1)
                ).mean()
            )

    most = 1024 if quick else len(x)
    model.fit(
        x[:most],
        y[:most],
        batch_size=128,
        epochs=1 if quick else 15,
        validation_split=0.1,
        verbose=0,
        callbacks=[Measured()],
    )
