"""TensorFlow's "Convolutional Neural Network (CNN)" tutorial
(https://www.tensorflow.org/tutorials/images/cnn): 10 epochs, Keras's batch of 32, Adam.

On the JAX backend, Keras's fastest here. JPEG pictures are decoded with Pillow, which counts, as it does for
ours.
"""

from __future__ import annotations

import os
from typing import Any

from benchmarks.curve import Curve


def run(files: dict[str, str], curve: Curve, quick: bool) -> None:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras
    from keras import layers

    from benchmarks.tutorials.read import cifar

    (x, y), (x_test, y_test) = (cifar(files[part], 512 if quick else None) for part in ("train", "test"))
    x, x_test = x.astype("float32") / 255, x_test.astype("float32") / 255
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )
    model.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )

    class Measured(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            curve.measure(
                lambda: (model.predict(x_test, batch_size=512, verbose=0).argmax(1) == y_test).mean()
            )

    model.fit(x, y, epochs=1 if quick else 10, verbose=0, callbacks=[Measured()])
