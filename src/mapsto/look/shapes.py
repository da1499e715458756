"""Tensors in words: their shapes, types and ranges, and what augmentation changed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Padded, Ragged

SHOWN = 3  # rows and pictures shown


def shape_text(value: Any, span: bool = True) -> str:
    """An encoded or collated value: 'float32 (32, 2), -1.2 to 3.4'; a single number as itself; sequences with
    their lengths."""
    if isinstance(value, Padded):
        lengths = value.lengths
        long = f", lengths {int(lengths.min())} to {int(lengths.max())}" if len(lengths) else ""
        beside = {
            spot.name: getattr(value, spot.name)
            for spot in dataclasses.fields(value)
            if spot.name not in ("values", "lengths")
        }
        return "; ".join(
            [
                shape_text(value.values, span) + long,
                *(f"{name}: {shape_text(part, span)}" for name, part in beside.items() if part is not None),
            ]
        )
    if isinstance(value, list):
        return f"{len(value)} of unequal length: {shape_text(value[0], span)}, …" if value else "nothing"
    if isinstance(value, Ragged):
        return f"{len(value)} behind each other: {shape_text(value.flat, span)}"
    array = (
        value.detach().cpu().numpy()
        if isinstance(value, Tensor) and value.dtype != torch.bfloat16
        else np.asarray(value)
    )
    if array.ndim == 0:
        return f"{array.dtype} {array.item():.6g}" if array.dtype.kind in "fiu" else str(array.item())
    known = array[np.isfinite(array)] if array.dtype.kind == "f" else array
    between = (
        f", {known.min():.4g} to {known.max():.4g}"
        if span and known.size and array.dtype.kind in "fiu"
        else ""
    )
    missing = (
        f", {np.isnan(array).mean():.0%} nan"
        if span and array.dtype.kind == "f" and np.isnan(array).any()
        else ""
    )
    return f"{array.dtype} {tuple(array.shape)}{between}{missing}"


def changed(plain: Any, drawn: Any) -> str:
    """What augmentation did to an input; "" when nothing."""
    if not isinstance(plain, Tensor) or not isinstance(drawn, Tensor):
        same = (
            isinstance(plain, Padded)
            and plain.values.shape == drawn.values.shape
            and torch.equal(plain.values, drawn.values)
        )
        return "" if same or isinstance(plain, list) else "tokens differ"
    if plain.shape != drawn.shape:
        return f"{shape_text(plain, False)} -> {shape_text(drawn, False)}"
    apart = (plain.float() - drawn.float()).abs()
    share = float((apart > 1e-6).float().mean())
    return f"{share:.0%} of the values changed, by {float(apart.mean()):.2g} on average" if share else ""


def augmented_views(drawn: Any, most: int = SHOWN) -> list[np.ndarray]:
    """Collated maps (B, C, H, W) as pictures (H, W, C), each from its own darkest to its brightest value; []
    where they are none."""
    if not isinstance(drawn, Tensor) or drawn.ndim != 4 or drawn.shape[1] not in (1, 3):
        return []
    pictures = drawn[:most].float().permute(0, 2, 3, 1).cpu().numpy()
    return [(one - one.min()) / max(1e-9, float(np.ptp(one))) for one in pictures]
