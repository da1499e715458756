"""What a browser must know to make pictures squares as they are made here (`web.js`, `resize.js`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image

from mapsto.errors import ConfigError

BILINEAR = PIL.Image.Resampling.BILINEAR


def options_of(image: Any) -> dict[str, Any]:
    """ConfigError: pictures of 16 bits, of which browsers show 8."""
    if image.depth != 8:
        raise ConfigError(
            "pictures of 16 bits cannot be read in a browser, which shows 8 of them.\nUse --to onnx, and"
            " mapsto serve."
        )
    return {"tall": begins_with_columns()}


def begins_with_columns() -> bool:
    """Does this Pillow resize the columns first of a picture that loses most of its height (from 13 on)? The
    two ways differ in a rounded level here and there."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 7), np.uint8)
    picture = PIL.Image.fromarray(noise)
    at_once = picture.resize((5, 224), BILINEAR)
    return at_once.tobytes() == picture.resize((7, 224), BILINEAR).resize((5, 224), BILINEAR).tobytes()
