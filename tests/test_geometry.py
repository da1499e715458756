"""Pixels, boxes, masks and points stay on each other: placed by one matrix a row, moved by the same draw, and brought back."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from mapsto.batch import Batch, Draw, Padded, Ragged
from mapsto.errors import ConfigError
from mapsto.learners.base import to_numpy
from mapsto.learners.supervised import Supervised, mixed
from mapsto.outputs.base import Head, mean_of_views
from mapsto.signature import parse
from mapsto.types._geometry import (
    composed,
    identity,
    inverse,
    matrix_of,
    move_boxes,
    move_points,
    theta_of,
    warp,
)
from mapsto.types._placement import placed_mask
from mapsto.types.base import Layout
from mapsto.types.category import Category
from mapsto.types.image import Image
from mapsto.types.number import Number
from mapsto.types.text.stems import Texts

pytestmark = pytest.mark.usefixtures("one_thread")


def image(side: int, augment: str = "none", **more: Any) -> Image:
    return Image(augment=augment, side=side, planes=1, mean=(0.0,), std=(1.0,), **more)


def around(mask: Tensor) -> list[float]:
    """The box around what is not 0 in (H, W)."""
    rows, columns = torch.nonzero(mask, as_tuple=True)
    return [float(side) for side in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]


@st.composite
def scenes(draw: st.DrawFn) -> tuple[int, int, int, tuple[int, int, int, int]]:
    """(height, width) of a picture, the side of the square it is stored in, and a box that takes some pixels there."""
    height, width, side = draw(st.integers(16, 80)), draw(st.integers(16, 80)), draw(st.integers(16, 48))
    least = -(-4 * max(height, width) // side)  # pixels of the picture that are four of the square
    wide, high = draw(st.integers(min(least, width), width)), draw(st.integers(min(least, height), height))
    left, top = draw(st.integers(0, width - wide)), draw(st.integers(0, height - high))
    return height, width, side, (left, top, left + wide, top + high)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scenes(), st.sampled_from(["none", "crop", "flip", "crop flip", "randaugment", "crop flip randaugment"]), st.integers(0, 10**6))
def test_a_box_a_mask_and_a_point_stay_on_each_other(scene: Any, words: str, step: int) -> None:
    height, width, side, (left, top, right, bottom) = scene
    column_type = image(side, words)
    picture = np.zeros((height, width, 1), np.uint8)
    picture[top:bottom, left:right] = 255
    placement = torch.from_numpy(column_type.placement(picture))[None]
    moves = column_type.affine(Draw(0, step, 1))

    geometry = composed(moves, placement)
    box = move_boxes(torch.tensor([[left, top, right, bottom]]).float(), geometry)[0]
    point = move_points(torch.tensor([[left + right, top + bottom]]) / 2, geometry)[0]
    placed = torch.from_numpy(placed_mask(picture[..., 0], side, 0))[None, None]
    mask = warp(placed, moves, (side, side), nearest=True)[0, 0]
    pixels = column_type.collate(torch.from_numpy(column_type.encode(picture))[None], Draw(0, step, 1))[0, 0]

    turned = "randaugment" in words
    near = 2.0 if turned else 1.0  # the tip of a turned corner may fall between pixels
    x, y = (int(place) for place in point)
    assert torch.allclose(point, (box[:2] + box[2:]) / 2, atol=1e-3)
    seen = box.clamp(0, side)
    whole = torch.equal(seen, box)  # of one turned out of the picture the corner that ends the box is not seen
    if ((seen[2:] - seen[:2]) >= 2 * near).all() and (whole or not turned):
        assert np.abs(np.subtract(around(mask), seen.tolist())).max() <= near
    if 1 <= x < side - 1 and 1 <= y < side - 1 and ((box[2:] - box[:2]) >= 3).all():
        assert mask[y, x] > 0
        assert "randaugment" in words or pixels[y, x] > 0.4  # randaugment changes the light, too


@given(scenes(), st.sampled_from(["crop flip", "crop flip randaugment"]), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_inverse_brings_places_back(scene: Any, words: str, step: int) -> None:
    height, width, side, box = scene
    placement = torch.from_numpy(image(side).placement(np.zeros((height, width, 1), np.uint8)))[None]
    geometry = composed(image(side, words).affine(Draw(0, step, 1)), placement)
    points = torch.tensor(box).float().view(2, 2)

    assert torch.allclose(move_points(move_points(points, geometry), inverse(geometry)), points, atol=1e-2)
    turn = image(side, words).affine(Draw(0, step, 1))
    assert torch.allclose(matrix_of(theta_of(turn, (side, side), (side, side)), (side, side)), turn, atol=1e-3)


@pytest.mark.parametrize("words", ["crop", "flip", "crop flip"])
def test_whole_pixels_move_as_the_matrix_says(words: str) -> None:
    """Shift and mirror pick pixels; away from the edges, which they mirror, the matrix does the same."""
    column_type, pixels = image(20, words), torch.randint(0, 256, (16, 1, 20, 20), dtype=torch.uint8)
    draw = Draw(0, 0, 16)

    picked = column_type.collate(pixels, draw) * 255
    computed = warp(pixels, column_type.affine(draw), (20, 20))

    assert torch.allclose(picked[..., 2:-2, 2:-2], computed[..., 2:-2, 2:-2], atol=1e-2)


@pytest.mark.parametrize("kind", ["png", "jpeg", "jpeg turned", "array"])
def test_a_large_picture_is_placed_by_its_own_pixels(kind: str) -> None:
    """Files are read at a part of their size; boxes are told in the whole picture, upright."""
    pixels = np.zeros((611, 907), np.uint8)
    pixels[200:410, 300:620] = 255
    picture, file = PIL.Image.fromarray(pixels), io.BytesIO()
    if kind == "jpeg turned":  # stored on its side; EXIF says how it is to be seen
        exif = PIL.Image.Exif()
        exif[0x0112] = 6
        picture.transpose(PIL.Image.Transpose.ROTATE_90).save(file, "JPEG", exif=exif)
    elif kind != "array":
        picture.save(file, kind.upper())
    column_type = image(32, size=32)

    value = column_type.read(pixels if kind == "array" else file.getvalue())

    assert value is not None and column_type.extent(value) == (907, 611)
    assert (value.shape[0] < 611) == (kind != "array")
    box = move_boxes(torch.tensor([300.0, 200.0, 620.0, 410.0]), torch.from_numpy(column_type.placement(value)))
    seen = around(torch.from_numpy(column_type.encode(value))[0] > 127)
    assert np.abs(np.subtract(seen, box.tolist())).max() <= 0.6  # half a pixel, and what resampling blurs


def test_what_comes_into_a_mask_is_filled() -> None:
    right = identity(1).clone()
    right[:, 0, 2] = 2.0

    found = warp(torch.ones(1, 1, 4, 4), right, (4, 4), nearest=True, fill=255)

    assert found[0, 0].tolist() == [[255, 255, 1, 1]] * 4


class Anywhere(Head):
    """A head that does not say how views go together."""

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden.mean((1, 2, 3))


class Scores(Anywhere):
    def merge(self, outputs: Any, views: Tensor | None) -> Tensor:
        return mean_of_views(outputs)


class Seen(nn.Module):
    """Counts how often it is asked."""

    def __init__(self, heads: dict[str, Head]):
        super().__init__()
        self.heads, self.asked = nn.ModuleDict(heads), 0

    def forward(self, inputs: Any, condition: Any = None, size: int | None = None) -> dict[str, Tensor]:
        self.asked += 1
        picture = inputs["image"] * torch.arange(8.0)  # left and right differ
        return {name: head(picture) for name, head in self.heads.items()}


def test_views_go_together_as_each_head_says() -> None:
    signature, pixels = parse("image -> a, b"), torch.rand(2, 1, 8, 8)
    types = {("input", "image"): image(8, "flip"), ("output", "a"): Category(), ("output", "b"): Category()}
    both, one = Seen({"a": Anywhere(), "b": Scores()}), Seen({"a": Anywhere()})

    found = Supervised(both, signature, types, None, None).outputs(Batch({"image": pixels}, {}, 2))  # type: ignore[arg-type]
    Supervised(one, signature, types, None, None).outputs(Batch({"image": pixels}, {}, 2))  # type: ignore[arg-type]

    plain, mirrored = ((view * torch.arange(8.0)).mean((1, 2, 3)) for view in (pixels, pixels.flip(3)))
    assert torch.equal(found["a"], plain)
    assert torch.equal(found["b"], torch.stack([plain, mirrored]).mean(0))
    assert (both.asked, one.asked) == (2, 1)


@pytest.mark.parametrize("target", [Ragged.of([torch.ones(2, 4), torch.ones(0, 4)]), ["a", "b"]])
def test_answers_about_parts_of_a_picture_are_not_mixed(target: Any) -> None:
    batch = Batch({"image": torch.rand(2, 1, 8, 8)}, {"boxes": target}, 2)

    with pytest.raises(ConfigError, match=r"'boxes' speaks of its parts.\nLeave mixup and cutmix out"):
        mixed(batch, Draw(0, 0, 2), 0.2, 0.5)


def test_masks_are_not_mixed_either() -> None:
    batch = Batch({"image": torch.rand(2, 1, 8, 8)}, {"mask": torch.ones(2, 8, 8)}, 2, geometry=identity(2))

    with pytest.raises(ConfigError, match="speaks of its parts"):
        mixed(batch, Draw(0, 0, 2), 0.2, 0.5)


def test_rows_of_unequal_length_become_objects() -> None:
    found = to_numpy(Ragged.of([torch.ones(2, 4), torch.zeros(0, 4)]))

    assert found.dtype == object and [row.shape for row in found] == [(2, 4), (0, 4)]


def test_lengths_that_do_not_pace_are_a_layouts_own_affair() -> None:
    assert Layout("float32", (None, 4)).paces and not Layout("float32", (None, 4), paces=False).paces


# --- what stands before and around an exported net ------------------------------------------------

CELLS = [3.0, float("nan"), -1.5]


@pytest.mark.parametrize(
    ("column_type", "arrays"),
    [
        (image(8), torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)),
        (image(8, depth=16), torch.from_numpy(np.random.default_rng(0).integers(0, 65535, (3, 1, 8, 8)).astype(np.uint16))),
        (replace(Number(), side="input", mean=0.5, std=2.0), torch.tensor(CELLS, dtype=torch.float64)),
        (replace(Number(), side="input", log=True, mean=0.5, std=2.0), torch.tensor(CELLS, dtype=torch.float64)),
        (Category(), torch.tensor([0, 2, 1], dtype=torch.int32)),
    ],
    ids=["image", "image of 16 bits", "number", "logarithm", "category"],
)
def test_preprocess_is_collate_without_a_draw(column_type: Any, arrays: Tensor) -> None:
    expected = type(column_type).collates({"x": column_type}, {"x": arrays}, None)["x"]

    exported = torch.export.export(column_type.preprocess(), (arrays,))

    assert torch.equal(column_type.preprocess()(arrays), expected)
    assert torch.equal(exported.module()(arrays), expected)


class Total(nn.Module):
    def forward(self, inputs: dict[str, Any]) -> Tensor:
        return (inputs["text"].values * inputs["text"].mask).sum(1) + inputs["parts"].flat.sum()


@pytest.mark.parametrize("text", [Padded(torch.arange(6.0).view(2, 3), torch.tensor([3, 1])), Texts(torch.arange(6.0).view(2, 3), torch.tensor([3, 1]))])
def test_inputs_of_a_net_are_trees(text: Padded) -> None:
    inputs = {"text": text, "parts": Ragged.of([torch.ones(2), torch.ones(1)])}

    leaves, form = pytree.tree_flatten(inputs)
    again = pytree.tree_unflatten(leaves, form)
    exported = torch.export.export(Total(), (inputs,))

    assert type(again["text"]) is type(text) and again["text"].values is text.values and len(again["parts"]) == 2
    assert torch.equal(exported.module()(inputs), Total()(inputs))
