"""Speech to text: sounds read in order, the Conformer, CTC against all ways to say a text, and runs that write down what they hear."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mapsto import ctc
from mapsto.batch import Draw, Padded, Ragged
from mapsto.ctc import Ctc, Search, beamed, edits, greedy, least_steps, nats_of
from mapsto.errors import ConfigError
from mapsto.models.conformer import Config, Conformer
from mapsto.sounds import paced
from mapsto.tokens import pieces_of
from mapsto.types.audio import Audio

pytestmark = pytest.mark.usefixtures("one_thread")
RANDOM = np.random.default_rng(0)


def noise(seconds: float, rate: int = 8000) -> tuple[np.ndarray, int]:
    return RANDOM.normal(0, 0.1, max(1, round(seconds * rate))).astype(np.float32), rate


def in_order(cells: list[Any], **options: Any) -> Audio:
    room = Audio.with_options("audio", options)
    return room.fit([room.read(cell) for cell in cells], {"side": "input", "rows": len(cells), "name": "clip", "order": True})


def read(room: Audio, *cells: Any, draw: Draw | None = None) -> Padded:
    found = room.collate(Ragged.of([room.encode(room.read(cell)) for cell in cells]), draw)
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
    room = in_order([noise(0.5)] * 3, max=0.5)
    found = read(room, *clips)
    assert found.lengths.tolist() == [30, 200, 1, 0] and found.values.shape == (4, 200, 40)
    assert (found.values[~found.mask] == 0).all()
    value = room.read(clips[1])
    assert value is not None
    again = room.restored(room.encode(value))
    assert again is not None
    np.testing.assert_array_equal(again.samples, value.samples)
    assert room.restored(room.encode(None)) is None


def test_a_minute_and_more_needs_no_word_in_order() -> None:
    room = in_order([(np.zeros(90 * 1000, np.int16), 1000)] * 2)
    assert room.most / room.hertz == pytest.approx(60, abs=0.1) and len(room.encode(room.read((np.ones(90_000), 1000)))) == 90_000


@pytest.mark.parametrize("stride", [1, 2, 4])
def test_tokens_are_as_many_as_said_and_each_clip_is_read_by_itself(stride: int) -> None:
    room = replace(in_order([noise(1.0)] * 2), stride=stride)
    torch.manual_seed(0)
    stem, clips = room.stem(8).eval(), [noise(0.31), noise(1.7), noise(0.02)]
    cells = [room.encode(room.read(clip)) for clip in clips]
    whole = stem(room.collate(Ragged.of(cells), None))
    assert whole.lengths.tolist() == room.steps(Ragged.of(cells)).tolist() == [-(-frames // stride) for frames in (31, 170, 2)]
    for row, clip in enumerate(clips):
        alone = stem(read(room, clip))
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
    head = Ctc(8, pieces_of("char", "", "ab"))
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
