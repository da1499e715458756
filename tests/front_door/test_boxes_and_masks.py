"""From the front door: `image -> boxes` and `image -> mask`, each one file of a package, with pictures that are mirrored
and shifted while boxes and masks stay on what they speak of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import mapsto
from mapsto import api, registry
from mapsto.batch import Draw
from mapsto.data.store import Store

HERE = Path(__file__).parent
OPTIONS = {
    "steps": 60,
    "batch": 16,
    "lr": 0.02,
    "model": "resnet9(width=16,stages=2)",
    "threads": 1,
    "plan": "default",
    "precision": "float32",
    "no_samples": True,
    "emit": lambda event: None,
}


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The two files as a package that is installed: its entry points name them."""
    site = tmp_path_factory.mktemp("site")
    about = site / "toys-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[mapsto.types]\nboxes = boxes\nmask = mask\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        patch.syspath_prepend(site)
        registry._outside.cache_clear()
        yield
    registry._outside.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Nets this small are faster on one thread, and much so when others use the processor."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 grey pictures, 32 wide and 24 high, with no, one or two light things, their boxes and their masks."""
    draw, folder = np.random.default_rng(0), tmp_path_factory.mktemp("things") / "things"
    folder.mkdir()
    rows = []
    for i in range(120):
        pixels, mask, boxes = draw.normal(60, 15, (24, 32)), np.zeros((24, 32), np.uint8), []
        for half in range(2):  # at most one left and one right of the middle
            if draw.random() < 0.7:
                width, height = draw.integers(6, 11), draw.integers(6, 11)
                left, top = 16 * half + draw.integers(0, 16 - width), draw.integers(0, 24 - height)
                pixels[top : top + height, left : left + width] += 110
                mask[top : top + height, left : left + width] = 255
                boxes.append([int(left), int(top), int(left + width), int(top + height)])
        PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03d}.png")
        PIL.Image.fromarray(mask).save(folder.parent / f"mask-{i:03d}.png")
        rows.append({"file_name": f"{i:03d}.png", "boxes": boxes, "mask": str(folder.parent / f"mask-{i:03d}.png")})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    return folder


def resumed(things: Path, signature: str, out: Path) -> Any:
    """A training that is stopped at half its steps and then goes on."""

    def stop(event: Mapping[str, Any]) -> None:
        if event["event"] == "step" and event["step"] >= OPTIONS["steps"] // 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapsto.training.trainer.SAVE", 0.0)
        patch.setattr("mapsto.training.trainer.TICK", 0.0)
        with pytest.raises(KeyboardInterrupt):
            mapsto.train(things, signature, out=out, name="run", **{**OPTIONS, "emit": stop})
    return mapsto.resume(next(out.glob("*-run")), emit=OPTIONS["emit"])


BOXES, MASK = "image(augment='crop flip') -> boxes", "image(augment='crop flip') -> mask"


@pytest.fixture(scope="module")
def detector(things: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return resumed(things, BOXES, tmp_path_factory.mktemp("boxes"))


@pytest.fixture(scope="module")
def segmenter(things: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return resumed(things, MASK, tmp_path_factory.mktemp("masks"))


def rows(things: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (things / "metadata.jsonl").read_text().splitlines()]


def test_boxes_are_found_and_more_than_always_the_same_are(detector: Any, things: Path) -> None:
    from boxes import METRICS

    f1 = METRICS[0]
    truths = [np.array(row["boxes"], np.float32).reshape(-1, 4) for row in rows(things)]
    usual = np.stack([np.mean([box for boxes in truths for box in boxes if (box[0] >= 16) == half], 0) for half in (False, True)])
    trivial = f1.reduce(f1.rows({"value": [usual.astype(np.float32)] * len(truths)}, truths))

    assert trivial < 0.5 < 0.8 < detector.metrics["test"]["boxes"]["f1"]["value"]
    assert detector.evaluate(things)["boxes"]["f1"]["value"] > 0.8


@pytest.mark.parametrize("times", [1, 3])
def test_boxes_are_answered_in_the_pictures_own_pixels(detector: Any, things: Path, times: int) -> None:
    from boxes import overlaps

    row = next(row for row in rows(things) if len(row["boxes"]) == 2)
    with PIL.Image.open(things / row["file_name"]) as picture:
        large = picture.resize((32 * times, 24 * times))

    said = detector.predict(large).predictions["boxes"].value

    shared = overlaps(torch.tensor(said), times * torch.tensor(row["boxes"], dtype=torch.float32))
    assert (shared.amax(0) > 0.5).all()


def test_a_mask_is_learned_and_is_more_than_everything(segmenter: Any, things: Path) -> None:
    trivial = np.mean([np.asarray(PIL.Image.open(row["mask"])) > 0 for row in rows(things)])  # if all were the thing

    assert trivial < 0.4 < 0.6 < segmenter.metrics["test"]["mask"]["iou"]["value"]
    assert segmenter.evaluate(things)["mask"]["iou"]["value"] > 0.6


def test_a_mask_is_answered_in_the_pictures_own_pixels(segmenter: Any, things: Path) -> None:
    from mask import of_runs

    row = next(row for row in rows(things) if row["boxes"])
    true = np.asarray(PIL.Image.open(row["mask"])) > 0

    said = of_runs(**segmenter.predict(things / row["file_name"]).predictions["mask"].value)

    assert said.shape == true.shape and (said & true).sum() > 0.5 * (said | true).sum()


def test_stored_pixels_boxes_and_masks_move_together(detector: Any, segmenter: Any) -> None:
    stores = [Store(Path(run.record["store"]), run.signature, run.types, np.zeros(120, np.int8), None) for run in (detector, segmenter)]
    for step in range(5):
        boxes, masks = (store.batch(np.arange(120), Draw(0, step, 120)) for store in stores)
        assert torch.equal(boxes.inputs["image"], masks.inputs["image"])
        for box, mask in zip(boxes.targets["boxes"], masks.targets["mask"], strict=True):
            if len(box) == 1:
                down, right = torch.nonzero(mask == 1, as_tuple=True)
                around = torch.stack([right.min(), down.min(), right.max() + 1, down.max() + 1])
                assert (around - box[0]).abs().max() <= 1
    assert stores[0].few_shapes and stores[0].lengths(np.arange(120)) is None  # few boxes do not pace


def test_the_recipe_mixes_no_pictures_whose_answers_speak_of_parts(detector: Any, segmenter: Any) -> None:
    assert "cutmix" not in detector.choice.learner_options and "cutmix" not in segmenter.choice.learner_options


@pytest.mark.parametrize("kind", ["boxes", "mask"])
def test_stopped_and_resumed_equals_unbroken(kind: str, things: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    broken = request.getfixturevalue({"boxes": "detector", "mask": "segmenter"}[kind])

    unbroken = mapsto.train(things, {"boxes": BOXES, "mask": MASK}[kind], out=tmp_path, **OPTIONS)

    assert api.same_weights(unbroken.path, broken.path)
    assert unbroken.metrics["test"] == broken.metrics["test"]
