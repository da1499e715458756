"""The core does not know it was built for labels: nine other ways to learn, each in at most 40 lines on the public contracts.

Every seam learns something that can be checked against a trivial value. `SEAMS` lists the code each one needs; a test counts it.
"""

from __future__ import annotations

import gc
import inspect
import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
import PIL.Image
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot, softplus

import mapsto
from mapsto.batch import Batch, Padded, key
from mapsto.config import Budget, Training
from mapsto.errors import ConfigError
from mapsto.learners.base import Batches, Learner
from mapsto.learners.supervised import Supervised
from mapsto.metrics import Metric, mean_of
from mapsto.models.base import Heads, Net
from mapsto.models.linear import Flat
from mapsto.outputs.base import Head, Output
from mapsto.signature import parse
from mapsto.source import Chunk, Source
from mapsto.training.ema import Ema
from mapsto.training.trainer import Trainer
from mapsto.types.base import DataType

pytestmark = pytest.mark.usefixtures("without_reports")

POINT = parse("-> point")
MOST_LINES = 40


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Nets this small are faster on one thread, and much so when others use the processor."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def settings(lr: float = 3e-3, batch: int = 128, **more) -> Training:
    return Training(optimizer="adamw", lr=lr, batch=batch, **{"schedule": "linear", "precision": "float32", **more})


def learn(learner: Learner, steps: int, folder: Path | None = None) -> Learner:
    Trainer(learner, folder, Budget(steps=steps)).fit()
    learner.model.eval()
    return learner


def perceptron(*widths: int) -> nn.Sequential:
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.SiLU())]
    return nn.Sequential(*layers[:-1])


def quiet(event) -> None:
    """Tell nobody."""


# --- 8. a streamed source: rows that nobody can count --------------------------------------------------------------------------

class Endless(Batches):
    """Rows made as they are asked for: make(generator, rows) -> (inputs, targets). Seeded by the step, so resume is exact."""

    def __init__(self, make, held_out: int = 0):
        self.make, self.held_out = make, held_out

    def size(self, split: str) -> int | None:
        return None if split == "train" else self.held_out

    def stream(self, split: str, step: int, batch: int, seed: int) -> Iterator[Batch]:
        while True:
            yield Batch(*self.make(torch.Generator().manual_seed(key(seed, split, step)), batch), batch)
            step += 1

    def iterate(self, split: str, batch: int, most: int | None = None) -> Iterator[Batch]:
        for start in range(0, self.held_out, batch):
            rows = min(batch, self.held_out - start)
            yield Batch(*self.make(torch.Generator().manual_seed(key(split, start)), rows), rows)


def waves(generator: torch.Generator, rows: int):
    x = torch.rand(rows, 2, generator=generator) * 4 - 2
    return {"x": x}, {"height": torch.sin(2 * x[:, 0]) * x[:, 1]}


class Surface(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = perceptron(2, 64, 64, 1)

    def forward(self, inputs, condition=None, size=None):
        return {"height": self.net(inputs["x"])[:, 0]}


class Regress(Learner):
    def loss(self, batch: Batch):
        wrong = (self.model(batch.inputs)["height"] - batch.targets["height"]) ** 2
        return (wrong, torch.ones_like(wrong)), {}


def test_stream_without_a_length():
    learner = learn(Regress(Surface(), parse("x -> height"), {}, Endless(waves), settings()), 500)
    with torch.no_grad():
        batch = next(learner.store.stream("validation", 0, 512, 0))
        wrong = learner.loss(batch)[0][0].mean()
    assert wrong < 0.1 * batch.targets["height"].var()
    with pytest.raises(ConfigError, match="nobody knows how many rows"):
        Trainer(learner, None, Budget(epochs=2)).fit()


class Tide(Source):
    """6,000 rows, made chunk by chunk; `alive` are the chunks somebody still holds."""

    alive: ClassVar[weakref.WeakSet] = weakref.WeakSet()
    most: ClassVar[int] = 0

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        size = min(size, 500)
        for start in range(0, 6_000, size):
            x = np.random.default_rng(start).normal(size=(size, 2))
            cells = {"a": x[:, 0].tolist(), "b": x[:, 1].tolist(), "side": np.where(x[:, 0] * x[:, 1] > 0, "same", "other").tolist()}
            chunk = Chunk(cells, [f"row {start + i}" for i in range(size)], [None] * size)
            Tide.alive.add(token := Token())
            cells["a"] = Held(cells["a"], token)
            Tide.most = max(Tide.most, len(Tide.alive))
            yield chunk


class Token:
    """Lives as long as its chunk."""


class Held(list):
    def __init__(self, cells: list, token: Token):
        super().__init__(cells)
        self.token = token


def test_streamed_source_through_train(tmp_path):
    tide = Tide("tide", ("a", "b", "side"), "6,000 rows of seed 0")
    run = mapsto.train(tide, "a:number, b:number -> side:category", out=tmp_path, emit=quiet, steps=100, threads=1, precision="float32",
                       model="mlp(width=32, depth=2, members=2)", batch=128, lr=5e-3)
    gc.collect()
    assert Tide.most <= 3 and not Tide.alive                                    # 12 chunks passed several times, never more than 3 at once
    assert run.metrics["test"]["side"]["accuracy"]["value"] > 0.85              # the majority is .5, a linear model no better


# --- 1. a GAN: two players, two explicit updates a step -------------------------------------------------------------------------

MEAN, STD = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.5])


def gaussian(generator: torch.Generator, rows: int):
    return {}, {"point": torch.randn(rows, 2, generator=generator) * STD + MEAN}


class Players(nn.Module):
    def __init__(self):
        super().__init__()
        self.maker, self.critic = perceptron(4, 64, 2), perceptron(2, 64, 64, 1)

    def forward(self, inputs, condition=None, size=None):
        return {"point": self.maker(torch.randn(size, 4))}


class Adversarial(Learner):
    """Goodfellow et al. 2014, with the gradient penalty on real rows of Mescheder et al. 2018."""

    def optimizers(self):
        return {"critic": torch.optim.Adam(self.model.critic.parameters(), 4e-3, betas=(0.5, 0.99)),
                "maker": torch.optim.Adam(self.model.maker.parameters(), 2e-3, betas=(0.5, 0.99))}

    def step(self, batch: Batch, trainer: Trainer):
        return trainer.update(self.judge, batch, "critic") | trainer.update(self.fool, batch, "maker")

    def judge(self, batch: Batch):
        real = batch.targets["point"].requires_grad_()
        scores = self.model.critic(real)[:, 0]
        slope, = torch.autograd.grad(scores.sum(), real, create_graph=True)
        made = self.model.critic(self.outputs(batch)["point"].detach())[:, 0]
        return (softplus(-scores) + softplus(made) + 0.1 * (slope**2).sum(1), torch.ones(batch.size)), {}

    def fool(self, batch: Batch):
        return (softplus(-self.model.critic(self.outputs(batch)["point"]))[:, 0], torch.ones(batch.size)), {}


def gan(seed: int = 0) -> Learner:
    torch.manual_seed(seed)
    return Adversarial(Players(), POINT, {}, Endless(gaussian), settings(ema=0.99))


def test_gan():
    learner = learn(gan(), 600)
    with torch.no_grad():
        made = learner.outputs(Batch({}, {}, 4000))["point"]
    assert (made.mean(0) - MEAN).abs().max() < 0.35                            # untrained: off by about 2
    assert (made.std(0) / STD).log().abs().max() < math.log(1.4)


# --- 2. diffusion: a noisy target and its time handed over through `given` --------------------------------------------------------

def two_hills(generator: torch.Generator, rows: int):
    side = torch.randint(0, 4, (rows, 1), generator=generator).clamp(max=1) * 4.0 - 2.0           # three in four at +2
    return {}, {"point": side + 0.3 * torch.randn(rows, 1, generator=generator)}


class Velocity(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = perceptron(2, 64, 64, 1)

    def forward(self, inputs, condition=None, size=None):
        noisy, time = condition
        return {"point": self.net(torch.cat([noisy, time], 1))}


class Flow(Learner):
    """Flow matching: Lipman et al. 2023, arXiv:2210.02747."""

    def loss(self, batch: Batch):
        clean = batch.targets["point"]
        noise, time = torch.randn_like(clean), torch.rand(len(clean), 1)
        speed = self.model({}, condition=(torch.lerp(noise, clean, time), time))["point"]
        return (((speed - (clean - noise)) ** 2).sum(1), torch.ones(batch.size)), {}

    @torch.no_grad()
    def outputs(self, batch: Batch, steps: int = 30):
        point = torch.randn(batch.size, 1)
        for i in range(steps):
            point = point + self.model({}, condition=(point, torch.full_like(point, i / steps)))["point"] / steps
        return {"point": point}


def test_diffusion():
    torch.manual_seed(0)
    learner = learn(Flow(Velocity(), POINT, {}, Endless(two_hills), settings(batch=256, ema=0.99)), 700)
    made = learner.outputs(Batch({}, {}, 4000))["point"]
    assert ((made.abs() - 2).abs() < 0.9).float().mean() > 0.9                 # noise itself: .13
    assert abs((made > 0).float().mean() - 0.75) < 0.06


# --- 3. next token: sequences of unequal length, counted in tokens ----------------------------------------------------------------

def rounds(generator: torch.Generator, rows: int):
    """Each symbol is the last but one plus 3, nine times in ten; 4 to 20 of them. 8 symbols, all equally frequent."""
    symbols = torch.randint(0, 8, (rows, 20), generator=generator)
    kept = torch.rand(rows, 20, generator=generator) < 0.9
    for t in range(2, 20):
        symbols[:, t] = torch.where(kept[:, t], (symbols[:, t - 2] + 3) % 8, symbols[:, t])
    return {}, {"text": Padded(symbols, torch.randint(4, 21, (rows,), generator=generator))}


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.cell, self.head = nn.Embedding(9, 32), nn.GRU(32, 64, batch_first=True), nn.Linear(64, 8)

    def forward(self, inputs, condition=None, size=None):
        return {"text": self.head(self.cell(self.table(condition.values))[0])}


class NextToken(Learner):
    def loss(self, batch: Batch):
        text = batch.targets["text"]
        prefix = torch.cat([torch.full_like(text.values[:, :1], 8), text.values[:, :-1]], 1)     # (B, T): 8 begins
        scores = self.model({}, condition=Padded(prefix, text.lengths))["text"]
        surprise = cross_entropy(scores.flatten(0, 1), text.values.flatten(), reduction="none").view_as(prefix) * text.mask
        return (surprise.sum(1), text.lengths.float()), {}


def test_next_token():
    torch.manual_seed(0)
    learner = learn(NextToken(Recurrent(), parse("-> text"), {}, Endless(rounds), settings(1e-2, 64, micro_batch=24)), 250)
    with torch.no_grad():
        (surprise, tokens), _ = learner.loss(next(learner.store.stream("validation", 0, 512, 0)))
    assert surprise.sum() / tokens.sum() < 0.5 * math.log(8)                    # unigram: log 8; the best possible: .35 log 8


# --- 4. sets: ragged targets, empty ones among them, matched by the Hungarian method ----------------------------------------------

def lights(generator: torch.Generator, rows: int):
    where, many = torch.rand(rows, 25, generator=generator).argsort(1)[:, :3], torch.randint(0, 4, (rows,), generator=generator)
    picture = torch.zeros(rows, 25).scatter(1, where, (torch.arange(3) < many[:, None]).float())
    points = torch.stack([where // 5, where % 5], 2) / 4
    return {"picture": picture}, {"points": [row[:n] for row, n in zip(points, many.tolist(), strict=True)]}


class SetHead(Head):
    """Carion et al. 2020, arXiv:2005.12872: 3 queries, each a point and whether it is there."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(width, 9)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.linear(hidden).view(-1, 3, 3)                               # (B, queries, x y there)

    def loss(self, output, target, present=None):
        far = torch.cdist(output[..., :2], nn.utils.rnn.pad_sequence(target, batch_first=True), p=1)      # (B, queries, points)
        cost, matched = (far - output[..., 2:].sigmoid()).detach().numpy(), torch.zeros_like(far)
        for i, points in enumerate(target):
            matched[(i, *linear_sum_assignment(cost[i, :, :len(points)]))] = 1
        there = binary_cross_entropy_with_logits(output[..., 2], matched.sum(2), reduction="none")
        return 3 * (far * matched).sum((1, 2)) + there.sum(1), torch.ones(len(output))

    def predict(self, output):
        return {"points": output[..., :2], "value": output[..., 2] > 0}


@dataclass(frozen=True)
class SetOutput(Output):
    metrics = (Metric("count", "Share of rows with the right number of points.",
                      lambda found, target: (found["value"].sum(1) == [len(points) for points in target])[:, None].astype(float), mean_of),)

    def head(self, width):
        return SetHead(width)


@dataclass(frozen=True)
class Points(DataType):
    outputs = ("set",)

    def output(self, kind=None):
        return SetOutput(self)


def test_sets():
    torch.manual_seed(0)
    signature, types = parse("picture -> points"), {("output", "points"): Points()}
    body = nn.Sequential(Flat(), *perceptron(25, 96, 64))
    net = Net(nn.Identity(), body, Heads(signature, types, {"points": "set"}, 64, "pooled"))
    learner = learn(Supervised(net, signature, types, Endless(lights, 512), settings(5e-3, 64), Supervised.Config(views=False)), 500)
    found = learner.measure("validation").sample
    assert min(map(len, found.target["points"])) == 0 and found.target["points"].dtype == object
    assert learner.evaluate("validation")["points"]["count"] > 0.8              # always the same number: .25


# --- 5. an environment: no store, batches are rollouts of the policy as it is now -------------------------------------------------

class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = perceptron(9, 32, 2)

    def forward(self, inputs, condition=None, size=None):
        return {"action": self.net(inputs["observation"])}


class Reinforce(Learner):
    """Williams 1992 on a corridor of 9 cells: start in the middle, 12 moves; a move ending in the last cell pays 1."""

    @torch.no_grad()
    def rollout(self, seed: int, walks: int = 16):
        draw, place, seen, moves, paid = torch.Generator().manual_seed(seed), torch.full((walks,), 4), [], [], []
        for _ in range(12):
            seen.append(one_hot(place, 9).float())
            chance = self.model({"observation": seen[-1]})["action"].softmax(1)
            moves.append(torch.multinomial(chance, 1, generator=draw)[:, 0])
            place = (place + 2 * moves[-1] - 1).clamp(0, 8)
            paid.append((place == 8).float())
        return torch.stack(seen), torch.stack(moves), torch.stack(paid)         # (T, walks, ...)

    def batches(self, split: str, step: int):
        for number in count(step):
            seen, moves, paid = self.rollout(key(self.training.seed, split, number))
            gain = paid.flip(0).cumsum(0).flip(0)
            yield Batch({"observation": seen.flatten(0, 1)}, {"action": moves.flatten(), "gain": (gain - gain.mean(1, keepdim=True)).flatten()}, moves.numel())

    def loss(self, batch: Batch):
        surprise = cross_entropy(self.model(batch.inputs)["action"], batch.targets["action"], reduction="none")
        return (surprise * batch.targets["gain"], torch.ones(batch.size)), {}

    def evaluate(self, split: str, most: int | None = None):
        return {"action": {"return": float(self.rollout(1, 200)[2].sum(0).mean())}}

    def metrics(self, slot: str):
        return (Metric("return", "What one walk pays.", lambda found, target: found["value"][:, None], mean_of),)


def reinforce() -> Learner:
    torch.manual_seed(0)
    return Reinforce(Policy(), parse("observation -> action"), {}, None, settings(1e-2, ema=0.9))


def test_environment():
    learner = reinforce()
    before = learner.evaluate("validation")["action"]["return"]
    trainer = Trainer(learner, None, Budget(steps=150))
    trainer.fit()
    assert before < 2.5 and learner.evaluate("validation")["action"]["return"] > 7       # the most is 9
    assert trainer.best_weights.of == ("action", "return") and trainer.best_weights.value > 7


# --- 6. few-shot: a batch is an episode of two parts ------------------------------------------------------------------------------

class Embedding(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(24, 8)

    def forward(self, inputs, condition=None, size=None):
        return {"label": self.net(inputs["x"])}


class FewShot(Learner):
    """Prototypical networks: Snell et al. 2017, arXiv:1703.05175. Of a class's 24 numbers 3 are its own, the others loud noise, all mixed."""

    def batches(self, split: str, step: int, ways: int = 5):
        mixing = torch.linalg.qr(torch.randn(24, 24, generator=torch.Generator().manual_seed(0)))[0]
        kinds = torch.randn(200, 3, generator=torch.Generator().manual_seed(1)) * 2
        while True:
            draw = torch.Generator().manual_seed(key(self.training.seed, split, step))
            chosen = torch.randperm(100, generator=draw)[:ways] + (0 if split == "train" else 100)
            own = kinds[chosen][:, None] + 0.3 * torch.randn(ways, 10, 3, generator=draw)
            x = torch.cat([own, 4 * torch.randn(ways, 10, 21, generator=draw)], 2) @ mixing             # (ways, 10, 24)
            label = torch.arange(ways)[:, None].expand(ways, 5)
            parts = {name: Batch({"x": x[:, rows].flatten(0, 1)}, {"label": label.flatten()}, 5 * ways)
                     for name, rows in (("support", slice(5)), ("query", slice(5, 10)))}
            yield Batch({}, {}, 1, parts=parts)                                                     # an episode is one row
            step += 1

    def outputs(self, batch: Batch):
        support, query = (self.model(batch.parts[name].inputs)["label"] for name in ("support", "query"))
        return {"label": -torch.cdist(query, support.view(-1, 5, 8).mean(1)) ** 2}

    def loss(self, batch: Batch):
        surprise = cross_entropy(self.outputs(batch)["label"], batch.parts["query"].targets["label"], reduction="none")
        return (surprise.sum()[None], torch.tensor([len(surprise)])), {}


def test_few_shot():
    torch.manual_seed(0)
    learner = FewShot(Embedding(), parse("x -> label"), {}, None, settings(1e-2))

    def accuracy() -> float:
        episodes = [episode for episode, _ in zip(learner.batches("test", 0), range(40), strict=False)]
        return float(np.mean([(learner.outputs(one)["label"].argmax(1) == one.parts["query"].targets["label"]).float().mean() for one in episodes]))

    before = accuracy()
    learn(learner, 300)
    assert before < 0.5 and accuracy() > 0.8                                    # classes 100 … 199 were never trained on; chance is .2


# --- 7. two nets in one model: a model and a learner given by path ----------------------------------------------------------------

TWINS = '''
from dataclasses import dataclass
from torch import nn
from mapsto import models

@dataclass(frozen=True)
class Config:
    width: int = 16

class Twins(nn.Module):
    def __init__(self, nets):
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.heads = nets[0].heads

    def forward(self, inputs, condition=None, size=None):
        return [net(inputs, condition, size) for net in self.nets]

def build(signature, types, config, kinds):
    return Twins([models.build("mlp", signature, types, {"width": config.width, "depth": 2, "members": 2}, kinds) for _ in range(2)])
'''
TOGETHER = '''
from mapsto.learners.base import Learner

class Together(Learner):
    def loss(self, batch):
        found = [head.loss(one[name], batch.targets[name], batch.present[name]) for one in self.model(batch.inputs) for name, head in self.model.heads.items()]
        return (sum(rows for rows, _ in found), found[0][1]), {}

    def outputs(self, batch):
        one, other = self.model(batch.inputs)
        return {name: (one[name] + other[name]) / 2 for name in one}
'''


def test_ensemble(tmp_path):
    (tmp_path / "twins.py").write_text(TWINS)
    (tmp_path / "together.py").write_text(TOGETHER)
    rng = np.random.default_rng(0)
    rows = [{"a": a, "b": b, "side": "same" if a * b > 0 else "other"} for a, b in rng.normal(size=(800, 2)).tolist()]
    run = mapsto.train(rows, "a, b -> side", out=tmp_path / "runs", emit=quiet, steps=150, batch=64, threads=1, precision="float32", lr=5e-3,
                       model=f"{tmp_path / 'twins.py'}(width=24)", learner=str(tmp_path / "together.py"))
    assert run.metrics["test"]["side"]["accuracy"]["value"] > 0.85             # majority .5
    answers = mapsto.load(run.path).predict([{"a": 1.0, "b": 1.0}, {"a": -1.0, "b": 1.0}])
    assert [answer.predictions["side"].value for answer in answers] == ["same", "other"]
    weights = dict(run.model.nets[0].named_parameters())
    assert any(not torch.equal(value, weights[name]) for name, value in run.model.nets[1].named_parameters())


# --- 9. a body that brings its own preprocessing ----------------------------------------------------------------------------------

TINY = '''
from dataclasses import dataclass
from torch import nn
from mapsto.models.base import Heads, Net, Stems, only_input

@dataclass(frozen=True)
class Config:
    side: int = 12

class Body(nn.Module):
    def __init__(self, name, side):
        super().__init__()
        self.name, self.net = name, nn.Sequential(nn.Flatten(), nn.Linear(side * side, 32), nn.ReLU())    # fails on any other size

    def forward(self, features):
        return self.net(features[self.name])

def wants(signature, config):
    return {slot.name: {"size": config.side, "channels": 1, "mean": (0.5,), "std": (0.25,)} for slot in signature.inputs}

def build(signature, types, config, kinds):
    name = only_input(signature, types, "tiny", "image")
    return Net(Stems(signature, types, 8), Body(name, config.side), Heads(signature, types, kinds, 32, "pooled"))
'''


def test_wants(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = []
    for i in range(160):
        picture = rng.integers(0, 120, (20, 24, 3), np.uint8)
        picture[:, :12] += np.uint8(100 * (i % 2))
        rows.append({"photo": PIL.Image.fromarray(picture), "bright": ["right", "left"][i % 2]})
    run = mapsto.train(rows, "photo:image -> bright:category", out="runs", emit=quiet, steps=40, batch=32, threads=1, lr=0.01, optimizer="adamw",
                       precision="float32", model="./mine.py")
    column_type = run.types["input", "photo"]
    assert (column_type.side, column_type.planes, column_type.mean, column_type.std) == (12, 1, (0.5,), (0.25,))
    assert run.metrics["test"]["bright"]["accuracy"]["value"] > 0.9            # majority .5
    assert mapsto.load(run.path).predict(rows[1]).predictions["bright"].value == "left"


# --- what holds for all of them ---------------------------------------------------------------------------------------------------

SEAMS = {
    "gan": (gaussian, Players, Adversarial, gan, test_gan),
    "diffusion": (two_hills, Velocity, Flow, test_diffusion),
    "next token": (rounds, Recurrent, NextToken, test_next_token),
    "sets": (lights, SetHead, Points, test_sets),
    "environment": (Policy, Reinforce, reinforce, test_environment),
    "few shot": (Embedding, FewShot, test_few_shot),
    "ensemble": (TWINS, TOGETHER, test_ensemble),
    "stream": (Endless, waves, Surface, Regress, test_stream_without_a_length),
    "streamed source": (Tide, Token, Held, test_streamed_source_through_train),
    "wants": (TINY, test_wants),
}


@pytest.mark.parametrize("name", SEAMS)
def test_each_in_forty_lines(name):
    """Code, docstrings and assertions together; blank lines between them are free."""
    texts = [thing if isinstance(thing, str) else inspect.getsource(thing) for thing in SEAMS[name]]
    lines = [line for text in texts for line in text.splitlines() if line.strip()]
    assert len(lines) <= MOST_LINES, f"{name}: {len(lines)} lines"


class Killed(Exception):
    """As good as kill -9: nothing is saved on the way out."""


@pytest.mark.parametrize("make", [gan, reinforce], ids=["gan", "environment"])
def test_exotic_learners_resume_exactly(make, tmp_path, monkeypatch):
    """Two players with an average, and a policy whose rollouts are its data: saved after 18 steps and killed in the 24th, they end bit for bit the same."""
    for name in ("whole", "broken"):
        (tmp_path / name).mkdir()
    whole, first = learn(make(), 40, tmp_path / "whole"), Trainer(make(), tmp_path / "broken", Budget(steps=40))
    follow = Ema.update

    def watched(average: Ema, step: int) -> None:                                                      # called once a step, before it is counted
        follow(average, step)
        if first.step == 17:
            first._saved_at = 0.0                                               # a checkpoint is overdue
        if first.step == 23:
            raise Killed

    monkeypatch.setattr(Ema, "update", watched)
    monkeypatch.setattr("mapsto.training.trainer.TICK", 0.0)
    with pytest.raises(Killed):
        first.fit()
    monkeypatch.setattr(Ema, "update", follow)
    second = Trainer(make(), tmp_path / "broken", Budget(steps=40), emit=(told := []).append)
    second.fit()
    assert next(event["step"] for event in told if event["event"] == "step") == 19 and first.step == 23
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.learner.model.state_dict()[name]), name


class Remembering(Learner):
    """Two updates a step, whose noise it notes; and a memory that grows by one with every batch it makes."""

    def __init__(self, *condition):
        super().__init__(*condition)
        self.noise, self.memory = [], []

    def batches(self, split: str, step: int):
        while True:
            self.memory.append(step)
            yield Batch({"x": torch.ones(4, 2)}, {}, 4)
            step += 1

    def loss(self, batch: Batch):
        self.noise.append(float(torch.rand(())))
        return (self.model(batch.inputs)["height"], torch.ones(batch.size)), {}

    def step(self, batch: Batch, trainer: Trainer):
        trainer.update(self.loss, batch)
        return trainer.update(self.loss, batch)

    def state_dict(self):
        return {"memory": torch.tensor(self.memory)}

    def load_state_dict(self, state):
        self.memory, self.noise = state["memory"].tolist(), []


def test_each_update_draws_its_own_noise_and_the_probe_leaves_no_trace():
    learner = learn(Remembering(Surface(), parse("x -> height"), {}, None, settings()), 3)
    assert learner.memory == [0, 1, 2]                                          # the plan's measurement made a batch too, and is forgotten
    assert len(set(learner.noise[-6:])) == 6
