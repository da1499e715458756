"""Exports of runs that write: the same texts as the run, searched for and drawn, without PyTorch."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import mapsto
import mapsto.lite
from mapsto.batch import Padded
from mapsto.cli import main
from mapsto.deploy import _graph, _int8_parts, _parity, _texts, export
from mapsto.errors import ConfigError, RunError
from mapsto.learners._graphs import graphs_of_language_model
from mapsto.lite.exported import session_of
from mapsto.lite.ways.texts import Texts
from mapsto.models import _recurrent
from mapsto.models._writers import LanguageModel
from mapsto.outputs import _ctc_head, _ctc_scores
from mapsto.run import Run
from mapsto.serve.served import opened
from mapsto.serve.served.base import Wish

WORDS = ("good", "bad", "fine", "awful", "great", "poor", "film", "plot", "actor", "dull", "bright")
FAST = {"device": "cpu", "threads": 1, "plan": "default", "precision": "float32"}
LITE = "import sys; print([name for name in ('torch', 'duckdb', 'sklearn', 'scipy') if name in sys.modules])"

pytestmark = pytest.mark.usefixtures("one_thread", "without_reports")
Made = tuple[Run, Path]


def quiet(event: Any) -> None:
    """Nobody listens."""


@pytest.fixture(autouse=True, scope="module")
def _measured_briefly() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_parity, "SECONDS", 0.02)
        patch.setattr(_texts, "TEXTS", 40)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 pairs of a text of 1 to 12 words and the same backwards."""
    folder, dice = tmp_path_factory.mktemp("written"), random.Random(0)
    rows = [[dice.choice(WORDS) for _ in range(dice.randint(1, 12))] for _ in range(300)]
    (folder / "pairs.csv").write_text("\n".join(["there,back", *(f"{' '.join(row)},{' '.join(row[::-1])}" for row in rows)]) + "\n")
    return folder


def made(place: Path, data: str, signature: str, name: str, **options: Any) -> Made:
    run = mapsto.train(place / data, signature, out=place / "runs", name=name, **{**FAST, **options})
    return run, export(run.path, "onnx", None, quiet)[0]


# --- texts that answer -----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def copying(place: Path) -> Made:
    """A run of a few steps that may copy, and its export."""
    net = "seq2seq(width=16, depth=1, decoder=2, heads=2, copy=true)"
    return made(place, "pairs.csv", "there:text -> back:text", "copying", model=net, steps=25, lr=0.02)


def sources(count: int) -> list[dict[str, Any]]:
    """Rows whose texts are empty, of one word, of many, of letters never seen, missing, and usual ones."""
    dice = random.Random(count)
    odd = [{"there": ""}, {"there": "film"}, {"there": "good " * 60}, {"there": "Ω你好 plot"}, {"there": None}]
    return (odd + [{"there": " ".join(dice.choice(WORDS) for _ in range(dice.randint(1, 9)))} for _ in range(20)])[-count:] if count < 17 else odd + [
        {"there": " ".join(dice.choice(WORDS) for _ in range(dice.randint(1, 9)))} for _ in range(count - 5)
    ]


def same(run: Run, exported: Any, rows: list[dict[str, Any]]) -> None:
    wanted = [answer.to_json() for answer in run.predict(rows)]
    found = exported.predict(rows)
    assert [row["back"]["value"] for row in found] == [row["back"]["value"] for row in wanted]
    assert [row["back"]["probability"] for row in found] == pytest.approx([row["back"]["probability"] for row in wanted], rel=1e-4)


def test_any_number_of_texts_is_answered_as_by_the_run(copying: Made) -> None:
    run, folder = copying
    exported = mapsto.lite.open(folder)
    for count in (1, 2, 3, 17):
        same(run, exported, sources(count))


def test_answers_are_searched_for_and_drawn_as_asked(copying: Made) -> None:
    run, folder = copying
    rows = sources(17)
    for how in ({"beam": 1}, {"beam": 3, "penalty": 0.0}, {"temperature": 1.0}):
        same(mapsto.load(run.path).search(**how), mapsto.lite.open(folder).search(**how), rows)
    for wrong in ({"beam": 0}, {"beam": "much"}, {"width": 3}):
        with pytest.raises(ConfigError):
            mapsto.lite.open(folder).search(**wrong)


def test_what_was_proved_of_texts_is_written(copying: Made) -> None:
    folder = copying[1]
    parity = json.loads((folder / "parity.json").read_text())
    (one,) = parity["outputs"].values()
    assert one["equal"]["value"] >= 0.999 and one["difference"] <= 1e-4
    assert one["metric"] == "bleu" and one["run"]["value"] == pytest.approx(one["export"]["value"])
    assert parity["speed"]["export"]["tokens_per_second"] > 0
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "encoder.onnx", "parity.json", "rooms.json", "step.onnx"]
    assert "tokens a second" in (folder / "README.md").read_text()


def test_texts_are_answered_without_pytorch(copying: Made) -> None:
    code = f"import mapsto.lite; print(len(mapsto.lite.open({str(copying[1])!r}).predict([{{'there': 'a film'}}]))); {LITE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_parity._environment())
    assert done.stdout.splitlines() == ["1", "[]"]


def test_commands_and_servers_take_an_export_that_answers_in_texts(copying: Made, capsys: pytest.CaptureFixture[str]) -> None:
    run, folder = copying
    said = []
    for path in (run.path, folder):
        assert main(["predict", str(path), "--text", "good film", "--beam", "2"]) == 0
        served = opened(path)
        served.use(1)
        served.warm()
        read = served.read([{"there": "good film"}], Wish(), 1)
        said.append((capsys.readouterr().out.split(",")[:2], served.decode(read, *served.predict([read.payload]), Wish())[0]["back"]))
    assert said[0] == said[1]
    assert main(["predict", str(folder), "--text", "film", "--lm", str(run.path)]) == 2


def test_recurrent_steps_of_graphs_are_those_of_the_net(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    cells, values, lengths = torch.nn.LSTM(5, 4, 2, batch_first=True, bidirectional=True), torch.randn(3, 7, 5), torch.tensor([7, 1, 4])
    wanted = _recurrent.read_and_last(cells, values, lengths)
    with monkeypatch.context() as patch:
        patch.setattr(torch.compiler, "is_exporting", lambda: True)
        torch.testing.assert_close(_recurrent.read_and_last(cells, values, lengths), wanted)
    writing, state = torch.nn.LSTM(5, 4, 2, batch_first=True), (torch.randn(2, 3, 4), torch.randn(2, 3, 4))
    out, (hidden, cell) = writing(values[:, :1], state)
    torch.testing.assert_close(_recurrent.step(writing, values[:, :1], *state), (out, hidden, cell))


def test_a_graph_that_holds_for_one_length_only_is_refused() -> None:
    from onnx import TensorProto, helper

    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, "words"])]
    program = SimpleNamespace(model_proto=helper.make_model(helper.make_graph([], "fixed", given, [])))
    _graph._refuse_fixed(program, {"x": {1: ""}})
    with pytest.raises(ConfigError, match="one length of 'x'"):
        _graph._refuse_fixed(program, {"x": {0: "B", 1: ""}})


# --- texts that are written by themselves, and conversations ------------------------------------------------------------------------

TALES = "\n".join(f"The {a} said: {b} is {c}." for a in WORDS for b in WORDS for c in WORDS[:5])
SOUNDS = {"cat": "meow", "dog": "woof", "cow": "moo", "duck": "quack"}
GREETING = [{"role": "user", "content": "What does the cow say?"}]
DRAWN = ({"temperature": 0.0}, {"temperature": 1.0, "top_p": 0.8, "seed": 3})


@pytest.fixture(scope="module")
def tales(place: Path) -> Made:
    """A decoder of few steps, whose keys are shared by its heads, that reads 24 letters at once."""
    (place / "tales.txt").write_text(TALES)
    return made(place, "tales.txt", "-> text:text(max=24)", "tales", model="gpt(width=16, depth=2, heads=2, kv_heads=1)", steps=25, batch=8)


@pytest.fixture(scope="module")
def talking(place: Path) -> Made:
    rows = [
        {"messages": [{"role": "user", "content": f"What does the {a} say?"}, {"role": "assistant", "content": f"The {a} says {b}."}]}
        for a, b in list(SOUNDS.items()) * 20
    ]
    (place / "talks.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return made(place, "talks.jsonl", "messages -> text:text(max=96)", "talks", model="gpt(width=16, depth=1, heads=2)", steps=25, batch=8)


@pytest.mark.parametrize("how", DRAWN)
def test_texts_are_written_as_by_the_run(tales: Made, how: dict[str, Any]) -> None:
    """Alone and together, behind prompts shorter and longer than what is read at once, and on beyond that."""
    run, exported = tales[0], mapsto.lite.open(tales[1])
    for prompt in ("", "The film", TALES[:60]):
        for count in (1, 3):
            wanted = run.sample(count, prompt=prompt, tokens=60, **how)
            assert exported.sample(count, prompt=prompt, tokens=60, **how) == wanted
    assert exported.sample(3, tokens=60, **how)[:1] == exported.sample(1, tokens=60, **how)


def test_pieces_come_as_they_are_written(tales: Made) -> None:
    exported = mapsto.lite.open(tales[1])
    pieces = list(exported.stream("The ", tokens=30, temperature=0.0))
    assert len(pieces) > 20 and "The " + "".join(pieces) == exported.sample(1, prompt="The ", tokens=30, temperature=0.0)[0]
    with pytest.raises(ConfigError, match="which the training text does not"):
        exported.sample(1, prompt="Ω")
    with pytest.raises(RunError, match="rows give it nothing to answer"):
        exported.predict([{"text": "a"}])
    with pytest.raises(RunError, match="answers no messages"):
        exported.reply(GREETING)


@pytest.mark.parametrize("how", DRAWN)
def test_conversations_are_answered_as_by_the_run(talking: Made, how: dict[str, Any]) -> None:
    run, exported = talking[0], mapsto.lite.open(talking[1])
    talk = [*GREETING, {"role": "assistant", "content": "The cow says moo."}, {"role": "user", "content": "And what does the dog say? " * 4}]
    for messages in (GREETING, talk):
        assert exported.reply(messages, tokens=40, **how) == run.reply(messages, tokens=40, **how)
        assert "".join(exported.stream(messages, tokens=40, **how)) == run.reply(messages, tokens=40, **how)


def test_what_was_proved_of_writing_is_written(tales: Made, talking: Made) -> None:
    for folder, call in ((tales[1], "model.sample("), (talking[1], "model.reply(")):
        parity = json.loads((folder / "parity.json").read_text())
        (one,) = parity["outputs"].values()
        assert one["equal"] == {"likeliest text": 1.0, "drawn text": 1.0} and one["difference"] <= 1e-4
        assert one["metric"] == "loss" and one["run"]["value"] == pytest.approx(one["export"]["value"], abs=1e-5)
        assert parity["speed"]["export"]["tokens_per_second"] > 0
        assert sorted(path.name for path in folder.iterdir()) == ["README.md", "parity.json", "rooms.json", "step.onnx"]
        card = (folder / "README.md").read_text()
        assert call in card and "tokens a second" in card


def test_the_card_of_an_export_that_writes_runs(tales: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code = (tales[1] / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tales[1].parent)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip()


def test_texts_are_written_without_pytorch(tales: Made, talking: Made) -> None:
    code = f"import mapsto.lite; print(len(mapsto.lite.open({str(tales[1])!r}).sample(2, tokens=5)))"
    code += f"; print(type(mapsto.lite.open({str(talking[1])!r}).reply({GREETING!r}, tokens=5)).__name__); {LITE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_parity._environment())
    assert done.stdout.splitlines() == ["2", "str", "[]"]


def test_commands_take_an_export_that_writes(tales: Made, talking: Made, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    for path in (tales[0].path, tales[1]):
        assert main(["sample", str(path), "--prompt", "The", "--n", "2", "--tokens", "20", "--seed", "1"]) == 0
        said.append(capsys.readouterr().out)
    for path in (talking[0].path, talking[1]):
        monkeypatch.setattr("sys.stdin", io.StringIO("What does the cat say?\n"))
        assert main(["chat", str(path), "--tokens", "20"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and said[2] == said[3]
    assert main(["predict", str(tales[1]), "--text", "a"]) == 2
    assert "mapsto sample" in capsys.readouterr().err


def test_an_export_that_writes_is_served_as_its_run_is(tales: Made, talking: Made) -> None:
    for made_, asked in ((tales, {"prompt": "The "}), (talking, {"messages": GREETING})):
        said = []
        for path in (made_[0].path, made_[1]):
            served = opened(path)
            served.use(1)
            served.warm()
            said.append((served.describe()["writes"], "".join(served.write({**asked, "tokens": 20, "seed": 2}))))
        assert said[0] == said[1] and said[0][0] == ("prose" if "prompt" in asked else "talk")


def test_steps_of_eight_bits_are_smaller_and_say_nearly_the_same(tales: Made, tmp_path: Path) -> None:
    _int8_parts._quantised(tales[1] / "step.onnx", tmp_path / "step.onnx", reduce_range=True)
    assert (tmp_path / "step.onnx").stat().st_size < (tales[1] / "step.onnx").stat().st_size
    options, said = json.loads((tales[1] / "rooms.json").read_text())["way"], []
    for folder in (tales[1], tmp_path):
        writer = Texts({"step": session_of(folder / "step.onnx", 1)}, options).writer()
        writer.begin(2)
        said.append(writer.logits(np.array([[10, 11, 12], [12, 13, 14]])))
    assert 0 < np.abs(said[0] - said[1]).max() < 0.2 * np.abs(said[0]).max()


def test_what_was_learned_from_preferences_is_exported_as_what_talks(place: Path, talking: Made) -> None:
    rows = [
        {"prompt": f"What does the {a} say?", "chosen": f"The {a} says {b}!", "rejected": f"The {a} says {b}."}
        for a, b in list(SOUNDS.items()) * 10
    ]
    (place / "liked.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, folder = made(place, "liked.jsonl", "-> preference", "liked", start=str(talking[0].path), steps=2, batch=4)
    assert mapsto.lite.open(folder).reply(GREETING, tokens=30, seed=1) == run.reply(GREETING, tokens=30, seed=1)
    assert json.loads((folder / "parity.json").read_text())["outputs"]["preference"]["difference"] <= 1e-4


def test_a_net_whose_cache_is_no_tensor_is_refused() -> None:
    class Foreign(LanguageModel):
        most = 8

        def cache(self, rows: int) -> Any:
            return object()

    with pytest.raises(ConfigError, match=r"(?s)Foreign.*cannot be exported yet.*Use the run itself"):
        graphs_of_language_model(Foreign())


# --- texts that are heard -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heard(place: Path) -> Made:
    """60 clips of one to four tones of .1 s, each a letter; and its export."""
    folder, rng, lines = place / "tones", np.random.default_rng(0), ["file_name,text"]
    folder.mkdir()
    for i in range(60):
        letters = rng.choice(list("ab c"), rng.integers(1, 5))
        waves = [np.sin(2 * np.pi * 300 * (1 + "ab c".index(letter)) * np.arange(800) / 8000) for letter in letters]
        soundfile.write(folder / f"{i:02d}.wav", 0.3 * np.concatenate(waves) + rng.normal(0, 0.01, 800 * len(letters)), 8000)
        lines.append(f"{i:02d}.wav,a{''.join(letters)}b")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return made(place, "tones", "audio -> text", "tones", model="conformer(width=16, depth=2, heads=2)", steps=30, batch=16, lr=0.01)


def test_sounds_are_heard_as_by_the_run(heard: Made) -> None:
    run, exported, rng = heard[0], mapsto.lite.open(heard[1]), np.random.default_rng(1)
    clips: list[Any] = [{"audio": (rng.normal(0, 0.1, size).astype(np.float32), 8000)} for size in (1, 300, 4_000, 40_000, *[2_000] * 12)]
    for rows in (clips[3:4], clips[:2], clips[:3], clips):
        wanted = [answer.to_json() for answer in run.predict(rows)]
        found = exported.predict(rows)
        assert [row["text"]["value"] for row in found] == [row["text"]["value"] for row in wanted]
        assert [row["text"]["probability"] for row in found] == pytest.approx([row["text"]["probability"] for row in wanted], abs=1e-5)
        assert [row["unsure"] for row in found] == [row["unsure"] for row in wanted]
    (one,) = json.loads((heard[1] / "parity.json").read_text())["outputs"].values()
    assert one["equal"]["value"] >= 0.999 and one["metric"].endswith("error_rate")
    with pytest.raises(ConfigError, match="Ask the run itself"):
        exported.search(beam=5)


def test_sounds_are_heard_without_pytorch(heard: Made, place: Path) -> None:
    code = f"import mapsto.lite; print(len(mapsto.lite.open({str(heard[1])!r}).predict([{{'audio': {str(place / 'tones' / '00.wav')!r}}}]))); {LITE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_parity._environment())
    assert done.stdout.splitlines() == ["1", "[]"]


def test_what_is_said_in_scores_is_what_the_net_that_learns_says() -> None:
    """Texts and their probabilities, of rows of unequal length, also where nothing is said."""
    torch.manual_seed(0)
    lengths = torch.tensor([9, 1, 30, 12])
    scores = 3 * torch.randn(4, 30, 5)
    scores[3, :, 0] = 30.0
    scores = scores.log_softmax(-1)
    rows = [each[:length].numpy() for each, length in zip(scores, lengths.tolist(), strict=True)]
    found = _ctc_scores.likeliest(rows)
    wanted = _ctc_head.greedy(scores.argmax(-1), lengths)
    assert [row.tolist() for row in found] == [row[:length].tolist() for row, length in zip(wanted.values, wanted.lengths.tolist(), strict=True)]
    nats = _ctc_head.nats_of(Padded(scores, lengths), wanted)
    np.testing.assert_allclose(_ctc_scores.log_probabilities(rows, list(found)), -nats.numpy(), rtol=1e-5, atol=1e-5)
