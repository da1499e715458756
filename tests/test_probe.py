"""A public encoder that is not trained (`hub(frozen=true)`): its features made once, a linear model solved on them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from test_hub import built, public, rows, transformers

import mapsto
from mapsto.errors import ConfigError
from mapsto.measure.baseline import Features, answers
from mapsto.models import _hub_probe as hub_probe
from mapsto.run import Run
from mapsto.steps.prepare import store_of

__all__ = ["public", "rows"]  # fixtures

pytestmark = pytest.mark.usefixtures("without_reports", "one_thread")


def quiet(event: object) -> None:
    """Tell nobody."""


def probed(rows: Path, folder: Path, out: Path) -> Run:
    return mapsto.train(rows, "text -> label:category", start=f"hub:{folder}", model="hub(frozen=true)", out=out, emit=quiet, threads=1)


@pytest.mark.parametrize(
    ("said", "options", "expected"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, {}, "first"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, {}, "mean"),
        ({"pooling_mode_cls_token": True}, {"pooling": "mean"}, "mean"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, {}, "mean"),
        ({}, {}, "mean"),
    ],
)
def test_a_sentence_model_says_which_tokens_tell_of_a_text(public, said: dict, options: dict, expected: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(public("bert"), tmp_path / "sentences"))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **said}), encoding="utf-8")

    net, _ = built("text -> category", folder, {"text": ["a bird", "a stone"], "category": ["a", "b"]}, **options)

    assert net.body.pooling == expected


@pytest.mark.usefixtures("without_reports")
def test_a_linear_model_of_features_that_are_made_once(rows: Path, public, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    plain = hub_probe.Probe.plain

    def counted(self: hub_probe.Probe, inputs: dict) -> torch.Tensor:
        encoded.append(len(inputs["text"].lengths))
        return plain(self, inputs)

    with monkeypatch.context() as patch:
        patch.setattr(hub_probe.Probe, "plain", counted)
        run = probed(rows, public("bert"), tmp_path)

    store = store_of(run, list, quiet)
    train, test = (store.batch(store.rows(name)) for name in ("train", "test"))
    net = mapsto.load(run.path).model.eval()
    sides = [Features(net.body.plain(one.inputs).numpy(), one.targets["label"].numpy(), one.present["label"].numpy()) for one in (train, test)]
    with torch.no_grad():
        found = net(test.inputs)["label"].softmax(-1).numpy()

    np.testing.assert_allclose(found, answers(*sides, run.output("label"))["linear"]["probability"], atol=1e-3)
    assert sum(encoded) <= 2 * sum(run.record["rows"].values()) + 64, encoded  # of the probe's candidates
    theirs, kept = transformers.AutoModel.from_pretrained(public("bert")).state_dict(), net.body.public.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in theirs.items() if name in kept)
    assert [line for line in run.record["said"] if "none of its" in line]


@pytest.mark.parametrize(
    ("signature", "options", "says"),
    [
        ("text -> label:category", {"lora": 4}, "trains adapters"),
        ("text -> label:category", {"steps": 4}, "solved at once"),
        ("text -> label:text", {}, "writes no text"),
    ],
)
def test_what_cannot_be_solved_is_said(rows: Path, public, signature: str, options: dict, says: str, tmp_path: Path) -> None:
    kind = "t5" if signature.endswith("text") else "bert"

    with pytest.raises(ConfigError, match=says) as problem:
        mapsto.train(rows, signature, start=f"hub:{public(kind)}", model="hub(frozen=true)", out=tmp_path, emit=quiet, threads=1, **options)

    assert str(problem.value).count("\n") < 3
