"""Speech to text: sounds read in order, the Conformer, CTC against all ways to say a text, and runs that write down what they hear."""

from __future__ import annotations

import csv
import itertools
import json
import math
import shutil
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from test_exact import ignore

import mapsto
from mapsto.batch import Draw, Padded, Ragged
from mapsto.cli import main
from mapsto.errors import ConfigError, DataError, MapstoError, RunError
from mapsto.models.conformer import Config, Conformer
from mapsto.outputs import _ctc_head as ctc
from mapsto.outputs._ctc_head import CtcHead, Search, beamed, greedy, least_steps, nats_of
from mapsto.prediction import Answer
from mapsto.run import Run
from mapsto.types.audio import Audio
from mapsto.types.audio.spectrum import paced
from mapsto.types.text.edits import edits
from mapsto.types.text.tokenizers import pieces_of

pytestmark = pytest.mark.usefixtures("one_thread")
RANDOM = np.random.default_rng(0)


def noise(seconds: float, rate: int = 8000) -> tuple[np.ndarray, int]:
    return RANDOM.normal(0, 0.1, max(1, round(seconds * rate))).astype(np.float32), rate


def in_order(cells: list[Any], **options: Any) -> Audio:
    column_type = Audio.with_options("audio", options)
    return column_type.fit([column_type.read(cell) for cell in cells], {"side": "input", "rows": len(cells), "name": "clip", "order": True})


def read(column_type: Audio, *cells: Any, draw: Draw | None = None) -> Padded:
    found = column_type.collate(Ragged.of([column_type.encode(column_type.read(cell)) for cell in cells]), draw)
    assert isinstance(found, Padded)
    return found


def random_output(rows: int, steps: int, vocabulary: int, lengths: list[int]) -> Padded:
    torch.manual_seed(rows + steps)
    return Padded(torch.randn(rows, steps, vocabulary), torch.tensor(lengths))


def texts(rows: list[list[int]]) -> Padded:
    values = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, tokens in zip(values, rows, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    return Padded(values, torch.tensor([len(tokens) for tokens in rows]))


def all_texts(scores: torch.Tensor) -> dict[tuple[int, ...], float]:
    """{text: its probability}, of log-probabilities (T, V), by every way to say each."""
    found: dict[tuple[int, ...], float] = defaultdict(float)
    for path in itertools.product(range(scores.shape[1]), repeat=len(scores)):
        said = tuple(token for token, _ in itertools.groupby(path) if token != ctc.BLANK)
        found[said] += math.exp(sum(float(scores[t, token]) for t, token in enumerate(path)))
    return found


# --- sounds in order -------------------------------------------------------------------------------------------------------------


def test_in_order_every_clip_is_whole_and_as_long_as_it_is() -> None:
    clips = [noise(0.3), noise(2.0), noise(0.0001), None]
    column_type = in_order([noise(0.5)] * 3, max=0.5)
    found = read(column_type, *clips)
    assert found.lengths.tolist() == [30, 200, 1, 0] and found.values.shape == (4, 200, 40)
    assert (found.values[~found.mask] == 0).all()
    value = column_type.read(clips[1])
    assert value is not None
    again = column_type.decode_cell(column_type.encode(value))
    assert again is not None
    np.testing.assert_array_equal(again.samples, value.samples)
    assert column_type.decode_cell(column_type.encode(None)) is None


def test_a_minute_and_more_needs_no_word_in_order() -> None:
    column_type = in_order([(np.zeros(90 * 1000, np.int16), 1000)] * 2)
    assert column_type.most / column_type.hertz == pytest.approx(60, abs=0.1) and len(column_type.encode(column_type.read((np.ones(90_000), 1000)))) == 90_000


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_tokens_are_as_many_as_said_and_each_clip_is_read_by_itself(stride: int) -> None:
    column_type = replace(in_order([noise(1.0)] * 2), stride=stride)
    torch.manual_seed(0)
    stem, clips = column_type.stem(8).eval(), [noise(0.31), noise(1.7), noise(0.02)]
    cells = [column_type.encode(column_type.read(clip)) for clip in clips]
    whole = stem(column_type.collate(Ragged.of(cells), None))
    assert whole.lengths.tolist() == column_type.steps(Ragged.of(cells)).tolist() == [-(-frames // stride) for frames in (31, 170, 2)]
    for row, clip in enumerate(clips):
        alone = stem(read(column_type, clip))
        length = int(alone.lengths)
        torch.testing.assert_close(alone.values[0, :length], whole.values[row, :length], rtol=1e-4, atol=1e-5)


def test_stride_is_of_models_that_read_in_order() -> None:
    with pytest.raises(ConfigError, match="--model conformer"):
        Audio.with_options("audio", {"stride": 2}).fit([Audio().read(noise(0.3))], {"side": "input"})
    with pytest.raises(ConfigError, match="stride"):
        Audio.with_options("audio", {"stride": 3})


def test_pace_loses_nothing_of_a_clip() -> None:
    count = torch.tensor([50, 20, 1, 0])
    ramp = torch.arange(50.0)[None, :, None].expand(4, 50, 8)
    for step in range(20):
        found, lasting = paced(ramp, count, Draw(0, step, 4))
        assert (abs(lasting - count) <= 0.12 * count + 1).all() and lasting[2:].tolist() == [1, 0]
        for row in range(2):
            assert float(found[row, 0, 0]) == 0 and float(found[row, int(lasting[row]) - 1, 0]) == pytest.approx(int(count[row]) - 1, abs=1.2)


# --- the model -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [8, 9, 100])
def test_a_row_is_read_alike_whatever_stands_beside_it(reach: int) -> None:
    torch.manual_seed(0)
    net = Conformer(Config(width=16, depth=2, heads=2, kernel=5, reach=reach)).eval()
    lengths = [41, 23, 8, 1]
    x = torch.randn(4, 41, 16)
    whole = net(Padded(x, torch.tensor(lengths)))
    for row, length in enumerate(lengths):
        alone = net(Padded(x[row : row + 1, :length], torch.tensor([length])))
        torch.testing.assert_close(alone.values[0], whole.values[row, :length], rtol=1e-4, atol=1e-5)


def test_pieces_join_in_their_middles() -> None:
    net = Conformer(Config(width=16, depth=1, heads=2, kernel=3, reach=8)).eval()
    net.read = lambda x, lengths: x  # type: ignore[method-assign]
    x = torch.randn(2, 37, 16)
    torch.testing.assert_close(net.in_pieces(x, torch.tensor([37, 20]))[0], x[0])


def test_sizes_that_do_not_fit_are_said() -> None:
    from mapsto.models.conformer import build
    from mapsto.signature import parse

    for options, says in (({"width": 18, "heads": 4}, "heads"), ({"kernel": 4}, "odd")):
        with pytest.raises(ConfigError, match=says):
            build(parse("audio -> text"), {}, Config(**options), {})


# --- connectionist temporal classification ---------------------------------------------------------------------------------------


def test_loss_and_search_agree_with_every_way_to_say_a_text() -> None:
    output = random_output(3, 5, 4, [5, 3, 4])
    scores = output.values.log_softmax(-1)
    found = beamed(scores, output.lengths, Search(beam=60))
    for row, length in enumerate(output.lengths.tolist()):
        chances = all_texts(scores[row, :length])
        assert sum(chances.values()) == pytest.approx(1, abs=1e-4)
        best = max(chances, key=lambda text: chances[text])
        assert found.values[row, : found.lengths[row]].tolist() == list(best)
        for text in [(), (1,), (2, 2), (1, 2, 3), best]:
            nats = nats_of(output[row : row + 1], Padded(torch.tensor([[*text, 0]])[:, : max(1, len(text))], torch.tensor([len(text)])))
            assert math.exp(-float(nats)) == pytest.approx(chances.get(text, 1.0), rel=1e-3)  # impossible ones count nothing


def test_greedy_joins_repeats_and_drops_blanks() -> None:
    said = torch.tensor([[0, 4, 4, 0, 4, 5, 5], [5, 5, 6, 6, 0, 7, 7], [0, 0, 0, 0, 0, 0, 0]])
    found = greedy(said, torch.tensor([7, 5, 7]))
    assert [row[:n].tolist() for row, n in zip(found.values, found.lengths.tolist(), strict=True)] == [[4, 4, 5], [5, 6], []]


def test_a_text_that_takes_more_steps_than_there_are_counts_nothing() -> None:
    target = texts([[4, 4, 5], [4, 5], [4, 4, 4, 4], []])
    assert least_steps(target).tolist() == [4, 2, 7, 0]
    head = CtcHead(8, pieces_of("char", "", "ab"))
    hidden = Padded(torch.randn(4, 6, 8, requires_grad=True), torch.tensor([3, 2, 6, 0]))
    nats, count = head.loss(head(hidden), target, torch.tensor([True, True, True, False]))
    assert (nats == 0).tolist() == [True, False, True, True] and count.tolist() == [0, 2, 0, 0]
    nats.sum().backward()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in (hidden.values, *head.parameters()))


def test_a_language_model_decides_between_texts_that_sound_alike() -> None:
    scores = torch.full((2, 3, 6), -9.0)
    scores[:, :, 0], scores[:, 1, 4:] = torch.tensor([-0.1, -3.0, -0.1]), torch.tensor([-1.0, -1.1])  # 4 is a little likelier than 5

    def follows(tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        found = torch.full((len(tokens), 6), -2.0)
        found[:, 5] = -0.1
        return found

    alone = beamed(scores.log_softmax(-1), torch.tensor([3, 3]), Search(beam=4))
    helped = beamed(scores.log_softmax(-1), torch.tensor([3, 3]), Search(beam=4, lm_weight=0.5), follows)
    assert alone.values[:, 0].tolist() == [4, 4] and helped.values[:, 0].tolist() == [5, 5] and helped.lengths.tolist() == [1, 1]


def test_wrong_words_and_letters_are_counted_by_row() -> None:
    true, said = ["a b c", "x", "one two", ""], ["a c", "", "one two", "more words"]
    assert edits(true, said).tolist() == [[1, 3], [1, 1], [0, 2], [2, 0]]
    assert edits(true, said, letters=True)[:, 0].tolist() == [2, 1, 0, 10] and edits([], []).shape == (0, 2)


# --- runs ------------------------------------------------------------------------------------------------------------------------

PITCH = {"ah": 500, "be": 1000, "co": 2000}  # Hz of the sound that stands for each word
NET = "conformer(width=32,depth=2,heads=2,kernel=7,dropout=0)"


def spoken(words: str, rate: int = 8000) -> np.ndarray:
    """Each word a tone of its own, of any length and loudness, with silence between."""
    parts = []
    for word in words.split():
        time = np.arange(int(RANDOM.uniform(0.1, 0.16) * rate)) / rate
        parts += [RANDOM.uniform(0.2, 0.6) * np.sin(2 * np.pi * PITCH[word] * time), np.zeros(int(RANDOM.uniform(0.05, 0.1) * rate))]
    sound = np.concatenate(parts) if parts else np.zeros(800)
    return (sound + RANDOM.normal(0, 0.005, len(sound))).astype(np.float32)


def write_clips(folder: Path, number: int) -> None:
    folder.mkdir(parents=True)
    RANDOM.bit_generator.state = np.random.default_rng(0).bit_generator.state  # the same clips, whichever tests ran before
    with (folder / "metadata.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["file_name", "text"])
        for i in range(number):
            words = " ".join(RANDOM.choice(list(PITCH), RANDOM.integers(1, 5)))
            soundfile.write(folder / f"{i:03d}.wav", spoken(words), 8000)
            rows.writerow([f"{i:03d}.wav", words])
        for name, sound, text in (("hasty", spoken("ah"), "ah be co " * 20), ("silent", np.zeros(1, np.float32), "ah")):
            soundfile.write(folder / f"{name}.wav", sound, 8000)
            rows.writerow([f"{name}.wav", text])


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speech") / "words"
    write_clips(folder, 160)
    return folder


@pytest.fixture(scope="module")
def heard(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Trained for some seconds on words that are tones."""
    how: dict[str, Any] = {
        "steps": 300,
        "lr": 4e-3,
        "batch": 16,
        "model": NET,
        "seed": 0,
        "precision": "float32",
        "plan": "default",
        "max_bad": 0.1,
        "emit": ignore,
    }
    return mapsto.train(clips, "audio -> text", out=tmp_path_factory.mktemp("runs"), **how)


def test_words_are_heard_far_better_than_by_guessing(heard: Run) -> None:
    found, beside = heard.metrics["test"]["text"], heard.metrics["baselines"]["text"]
    assert set(found) == {"word_error_rate", "character_error_rate", "exact_match", "loss"}
    assert beside["nothing"]["word_error_rate"]["value"] == 1 and beside["majority"]["word_error_rate"]["value"] > 0.5
    assert found["word_error_rate"]["value"] < 0.05 and found["word_error_rate"]["low"] <= found["word_error_rate"]["value"]
    assert heard.choice.kinds == {"text": "ctc"} and heard.choice.model == "conformer" and heard.choice.learner == "supervised"


def test_a_text_that_does_not_fit_into_its_sound_is_told_with_both_counts(heard: Run) -> None:
    told = (heard.path / "quarantine.csv").read_text()
    assert heard.record["unreadable"] == 2 and "line 162" in told and "line 163" in told
    assert "takes 180 steps of the input at least, which has " in told and "takes 2 steps of the input at least, which has 1." in told


def test_any_clip_is_answered(heard: Run, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "ah co be ah"
    stereo = np.stack([spoken(words)] * 2, 1)
    soundfile.write(tmp_path / "stereo.flac", stereo, 8000)
    assert heard.predict(str(tmp_path / "stereo.flac")).predictions["text"].value == words  # type: ignore[union-attr]
    for cell in ((np.zeros(4000), 8000), (np.array([3], np.int16), 96_000), (RANDOM.integers(0, 256, 900, np.uint8), 8000)):
        assert isinstance(heard.predict({"audio": cell}).predictions["text"].value, str)  # type: ignore[union-attr]
    with pytest.raises(DataError, match="no samples"):
        heard.predict({"audio": (np.zeros(0), 8000)})
    assert main(["predict", str(heard.path), str(tmp_path / "stereo.flac"), "--beam", "4"]) == 0
    assert f"stereo.flac,{words}," in capsys.readouterr().out


def test_a_file_many_times_longer_than_any_that_was_learned_is_heard_whole(heard: Run) -> None:
    words = " ".join(RANDOM.choice(list(PITCH), 120))
    answer = heard.predict({"audio": (spoken(words), 8000)}).predictions["text"].value  # type: ignore[union-attr]
    assert edits([words], [answer])[0, 0] <= 6


def test_a_run_predicts_the_same_elsewhere_and_beside_others(heard: Run, tmp_path: Path) -> None:
    shutil.copytree(heard.path, tmp_path / "moved")
    sounds = [{"audio": (spoken(words), 8000)} for words in ("ah", "co be ah co", "be be")]
    together = [answer.predictions["text"] for answer in heard.predict(sounds)]  # type: ignore[union-attr]
    alone = [mapsto.load(tmp_path / "moved").predict(sound).predictions["text"] for sound in sounds]
    assert [one.value for one in together] == [one.value for one in alone]
    np.testing.assert_allclose([one.probability for one in together], [one.probability for one in alone], rtol=1e-3)


def test_the_report_lets_people_listen(heard: Run) -> None:
    page = (heard.path / "report.html").read_text()
    assert "data:audio/wav;base64" in page and "What does it hear?" in page and "media-src data:" in page
    sections = {section["name"]: section for section in json.loads((heard.path / "sections.json").read_text())["sections"]}
    assert sections["transcripts"]["figures"]["words"] > 20


def test_a_language_model_must_write_the_same_letters(heard: Run, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("\n".join(" ".join(RANDOM.choice(list(PITCH), 4)) for _ in range(400)))
    how: dict[str, Any] = {"steps": 3, "model": "gpt(width=32,depth=1,heads=2)", "plan": "default"}
    lines = mapsto.train(tmp_path / "lines.txt", "-> text", out=tmp_path, **how)
    run = mapsto.load(heard.path).search(lm=lines.path, lm_weight=0.2)
    assert run.predict({"audio": (spoken("ah be"), 8000)}).predictions["text"].value == "ah be"
    pieces = mapsto.train(tmp_path / "lines.txt", "-> text:text(tokenizer=bpe)", out=tmp_path, **how)
    with pytest.raises(ConfigError, match="tokenizer=char"):
        run.search(lm=pieces.path)
    with pytest.raises(RunError, match="writes no text by itself"):
        run.search(lm=heard.path)
    with pytest.raises(ConfigError, match="Name its run"):
        mapsto.load(heard.path).search(lm_weight=0.2)


def test_one_sound_in_memory_is_one_row_and_a_beam_is_of_one_call(heard: Run) -> None:
    samples = np.sin(np.arange(4000) / 5).astype(np.float32)
    one, named = heard.predict(samples), heard.predict({heard.signature.inputs[0].column: samples})
    assert isinstance(one, Answer) and isinstance(named, Answer) and one.predictions == named.predictions
    assert len(heard.predict([samples, samples])) == 2  # type: ignore[arg-type]
    assert isinstance(heard.predict(samples, beam=3), Answer)
    assert heard.predict(samples).predictions == one.predictions
    with pytest.raises(MapstoError, match="--beam: expected 1 or more"):
        heard.predict(samples, beam=0)
