"""The contract of models/, held by every file of the folder, on rooms small enough to read. Then what is special to each."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from mapsto import models, registry
from mapsto.batch import Padded, Ragged
from mapsto.errors import ConfigError, SignatureError
from mapsto.models import alexnet, fusion, mlp, resnet, vit
from mapsto.models._layers import Dropout, attend
from mapsto.models.base import Net
from mapsto.outputs.base import Head, Output
from mapsto.signature import Signature, parse, parse_call
from mapsto.types.base import DataType, Layout

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = registry.names("models")
SMALL = {  # options that make a model quick to try
    "mlp": {"width": 16, "depth": 2, "members": 3, "embedding": 4},
    "alexnet": {"width": 6, "units": 16},
    "resnet": {"depth": 8, "width": 4},
    "vit": {"width": 12, "depth": 2},
    "fusion": {"token": 8, "width": 16, "image_depth": 8, "image_width": 4},
    "textcnn": {"token": 8, "channels": 6, "layers": 1},
    "lstm": {"token": 8, "width": 6},
    "transformer": {"width": 8, "heads": 2},
    "conformer": {"width": 8, "heads": 2, "depth": 2, "kernel": 3},
}
SIGNATURES = (
    "image -> label:category",
    "age:number, colour:category -> label:category, days:number",
    "photo:image, scan:image, age:number, colour:category -> label:category, days:number",
    "notes:sequence, photo:image -> days:number",
    "notes:sequence -> label:category, days:number",
)


# --- rooms ---------------------------------------------------------------------------------------------------------------------


class Score(Head):
    def __init__(self, width: int, outputs: int):
        super().__init__()
        self.linear = nn.Linear(width, outputs)

    def forward(self, hidden):
        return self.linear(hidden)


class Stem(nn.Module):
    def __init__(self, gives: str, how: nn.Module):
        super().__init__()
        self.gives, self.how = gives, how

    def forward(self, values):
        return self.how(values)


class Pixels(Stem):
    def __init__(self, channels: int, size: int):
        super().__init__("map", nn.Identity())
        self.channels, self.size = channels, size


class Words(nn.Module):
    gives = "tokens"

    def __init__(self, width: int):
        super().__init__()
        self.table = nn.Embedding(7, width)

    def forward(self, ids: Padded) -> Padded:
        return Padded(self.table(ids.values), ids.lengths)


@dataclass(frozen=True)
class Image(DataType):
    modality = "image"
    channels: int = 3
    size: int = 12
    layout: ClassVar[Layout]

    @property
    def layout(self):
        return Layout("float32", (self.channels, self.size, self.size))

    def encode(self, value):
        return np.zeros(self.layout.shape, "float32")

    def stem(self, width):
        return Pixels(self.channels, self.size) if width else Stem("pooled", nn.Flatten())

    def sample(self, rows):
        return torch.randn(rows, self.channels, self.size, self.size)


@dataclass(frozen=True)
class Scores(Output):
    def head(self, width):
        return Score(width, self.type.scores)


@dataclass(frozen=True)
class Number(DataType):
    outputs = ("squared", "huber")
    scores = 1
    layout = Layout("float32")

    def encode(self, value):
        return np.float32("nan")

    def stem(self, width):
        known = [nn.Unflatten(0, (-1, 1))]
        return Stem("tokens", nn.Sequential(*known, nn.Linear(1, width), nn.Unflatten(1, (1, width)))) if width else Stem("pooled", *known)

    def output(self, kind=None):
        return Scores(self)

    def sample(self, rows):
        return torch.randn(rows)


@dataclass(frozen=True)
class Category(DataType):
    outputs = ("softmax",)
    scores = 5
    layout = Layout("int64")

    def encode(self, value):
        return np.int64(0)

    def stem(self, width):
        return Stem("tokens", nn.Sequential(nn.Unflatten(0, (-1, 1)), nn.Embedding(5, width))) if width else Stem("pooled", OneHot())

    def output(self, kind=None):
        return Scores(self)

    def sample(self, rows):
        return torch.randint(0, 5, (rows,))


class OneHot(nn.Module):
    def forward(self, values):
        return nn.functional.one_hot(values, 5).float()


@dataclass(frozen=True)
class Sequence(DataType):
    layout = Layout("int64", (None,))

    def encode(self, value):
        return np.zeros(0, "int64")

    def collate(self, arrays, draw):
        lengths = torch.tensor([len(part) for part in arrays])
        return Padded(nn.utils.rnn.pad_sequence(list(arrays), batch_first=True), lengths)

    def stem(self, width):
        return Words(width or 4)

    def sample(self, rows):
        return self.collate([torch.randint(0, 7, (row % 4 + (rows == 1),)) for row in range(rows)], None)


ROOMS = {"image": Image, "number": Number, "category": Category, "sequence": Sequence}


def rooms_of(signature: Signature, **image) -> dict:
    """Rooms for every slot; `image` are options of the image rooms."""
    sides = (("input", signature.inputs), ("output", signature.outputs))
    return {(side, slot.name): ROOMS[slot.type](**(image if slot.type == "image" else {})) for side, slots in sides for slot in slots}


def parsed(text: str) -> Signature:
    found = parse(text)
    typed = [tuple(dataclasses.replace(slot, type=slot.type or slot.name) for slot in side) for side in (found.inputs, found.outputs)]
    return Signature(*typed)


def built(name: str, text: str, seed: int = 0, options=None, **image) -> Net:
    signature = parsed(text)
    torch.manual_seed(seed)
    return models.build(name, signature, rooms_of(signature, **image), SMALL.get(name, {}) if options is None else options)


def sampled(text: str, rows: int, **image) -> dict:
    torch.manual_seed(rows)
    signature = parsed(text)
    types = rooms_of(signature, **image)
    return {slot.name: types["input", slot.name].sample(rows) for slot in signature.inputs}


def total(outputs: dict) -> torch.Tensor:
    return sum(value.float().square().mean() for value in outputs.values())


def fits(name: str, text: str) -> bool:
    try:
        built(name, text)
    except ConfigError:
        return False
    return True


PAIRS = [(name, text) for name in NAMES for text in SIGNATURES if fits(name, text)]
pairs = pytest.mark.parametrize(("name", "text"), PAIRS)


# --- the contract --------------------------------------------------------------------------------------------------------------


def test_every_model_fits_some_signature():
    others = {"gpt", "seq2seq", "lstm_seq2seq", "reader", "hub", "onnx"}  # write or search texts, or come from elsewhere: they have tests of their own
    assert {name for name, _ in PAIRS} == set(NAMES) - others


@pytest.mark.parametrize("name", NAMES)
def test_config_is_frozen_and_every_option_says_what_it_is(name):
    config = registry.module("models", name).Config
    assert config.__dataclass_params__.frozen
    assert all(field.metadata["help"] for field in dataclasses.fields(config) if not field.metadata.get("learned"))
    assert models.wants(name, parsed(SIGNATURES[0]), {}) == models.wants(name, parsed(SIGNATURES[0]), {})


@pytest.mark.parametrize("rows", (1, 3))
@pytest.mark.parametrize("training", (True, False))
@pairs
def test_shapes(name, text, rows, training):
    net = built(name, text).train(training)
    outputs = net(sampled(text, rows))
    assert list(outputs) == [slot.name for slot in parsed(text).outputs]
    for slot, output in outputs.items():
        assert output.shape[0] == rows and output.shape[-1] == (5 if slot == "label" else 1)
        assert output.isfinite().all()
    embedded = net.embed(sampled(text, rows))
    assert embedded.ndim == 2 and len(embedded) == rows and embedded.isfinite().all()


@pairs
def test_gradients_reach_every_parameter(name, text):
    net, inputs = built(name, text), sampled(text, 16)
    for slot in [slot.name for slot in parsed(text).inputs if slot.type == "image"]:
        inputs[slot][3] = 0  # a missing image
    with torch.no_grad():  # away from zero initialisations, which delay some gradients by a step
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    total(net(inputs)).backward()
    silent = [key for key, value in net.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]
    assert not silent


@pairs
def test_same_seed_same_weights_same_gradients(name, text):
    a, b, c = built(name, text), built(name, text), built(name, text, seed=1)
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), c.state_dict().values(), strict=True))
    torch.use_deterministic_algorithms(True)
    try:
        for net in (a, b):
            torch.manual_seed(5)
            total(net(sampled(text, 4))).backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(x.grad, y.grad) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pairs
def test_weights_move_to_another_net(name, text):
    a, b = built(name, text).eval(), built(name, text, seed=1).eval()
    b.load_state_dict(a.state_dict())
    inputs = sampled(text, 3)
    assert all(torch.equal(x, y) for x, y in zip(a(inputs).values(), b(inputs).values(), strict=True))


@pairs
def test_rows_do_not_see_each_other_when_predicting(name, text):
    net, inputs = built(name, text).eval(), sampled(text, 4)
    whole = net(inputs)
    alone = net({slot: value[2:3] for slot, value in inputs.items()})
    for slot, output in alone.items():
        torch.testing.assert_close(output[0], whole[slot][2], rtol=1e-4, atol=1e-5)


@pairs
def test_micro_batches_are_the_batch(name, text):
    net, inputs = built(name, text).eval(), sampled(text, 6)
    summed = {}
    for cuts in ((0, 6), (0, 2, 6)):
        net.zero_grad()
        for low, high in pairwise(cuts):
            outputs = net({slot: value[low:high] for slot, value in inputs.items()})
            sum(value.square().sum() for value in outputs.values()).backward()
        summed[cuts] = [torch.zeros(()) if value.grad is None else value.grad.clone() for value in net.parameters()]
    for one, other in zip(*summed.values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pairs
def test_bfloat16(name, text):
    net, inputs = built(name, text).eval(), sampled(text, 4)
    exact = net(inputs)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(inputs)
        total(net.train()(inputs)).backward()
    for slot, output in rough.items():
        torch.testing.assert_close(output.float(), exact[slot], rtol=0.1, atol=0.1)
    assert all(value.grad is None or value.grad.isfinite().all() for value in net.parameters())


@pairs
def test_channels_last(name, text):
    net, inputs = built(name, text).eval(), sampled(text, 4)
    exact = net(inputs)
    net = net.to(memory_format=torch.channels_last)
    last = {
        slot: value.contiguous(memory_format=torch.channels_last) if isinstance(value, torch.Tensor) and value.ndim == 4 else value
        for slot, value in inputs.items()
    }
    for slot, output in net(last).items():
        torch.testing.assert_close(output, exact[slot], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", (1, 5, 17, 33, 65, 97))
@pytest.mark.parametrize("name", sorted({name for name, text in PAIRS if text == SIGNATURES[0]}))
def test_odd_sizes(name, size):
    net, inputs = built(name, SIGNATURES[0], size=size, channels=1), sampled(SIGNATURES[0], 2, size=size, channels=1)
    total(net(inputs)).backward()
    one = net({slot: value[:1] for slot, value in inputs.items()})
    assert one["label"].isfinite().all()


EVERYTHING = "photo:image, age:number, still:number, colour:category, tags:categories, notes:text -> colour:category, age:number, tags:categories"
NOTES = "notes:text -> colour:category, age:number, tags:categories"
REAL = {
    "photo": [np.full((9, 9, 1), 40 * row, np.uint8) for row in range(1, 6)] + [None],
    "age": [1.0, 2.0, 3.5, 4.0, 9.0, None],
    "still": [None] * 6,
    "colour": ["red", "blue", "red", "green", "blue", None],
    "tags": [("a", "b"), ("b",), ("a",), ("c",), ("a", "c"), None],
    "notes": ["the cat sat on the mat", "x", "a dog", "\u05e9\u05dc\u05d5\u05dd \u4f60\u597d", "word " * 40, None],
}


SEQUENCES = ("textcnn", "lstm", "transformer", "conformer", "fusion(mix=attention)")  # read tokens in order


@pytest.mark.parametrize(
    ("name", "text"),
    (
        *((name, text) for name in ("linear", "mlp", "ngrams", "fusion", "fusion(mix=attention)") for text in (EVERYTHING, NOTES)),
        ("resnet", "photo:image -> colour:category, age:number"),
        ("alexnet", "photo:image -> colour:category, age:number"),
        ("vit", "photo:image -> colour:category, age:number"),
        *((name, NOTES) for name in SEQUENCES[:4]),
    ),
)
def test_models_fit_the_real_rooms(name, text):
    net, types = real(name, text)
    signature = parsed(text)
    outputs = net(inputs_of(signature, types))
    loss = sum(
        head.loss(outputs[slot.name], *answers_of(slot.name, types))[0].sum()
        for slot, (_, head) in zip(signature.outputs, net.heads.items(), strict=True)
    )
    loss.backward()
    assert loss.isfinite()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in net.parameters())
    assert net.embed(inputs_of(signature, types)).shape[0] == 6


def real(name, text, **options):
    """A net of a model (perhaps with options) on fitted rooms, and these. options: of the rooms of texts."""
    signature = parsed(text)
    name, chosen = parse_call(name, "model")
    chosen = {**SMALL.get(name, {}), **chosen}
    types, wanted = {}, models.wants(name, signature, chosen)
    for side, slots in (("input", signature.inputs), ("output", signature.outputs)):
        for slot in slots:
            column_type = registry.entry("types", slot.type).with_options(slot.type, options if slot.type == "text" else {})
            types[side, slot.name] = column_type.fit(
                REAL[slot.name], {"side": side, "rows": 6, "name": slot.name, **(wanted.get(slot.name, {}) if side == "input" else {})}
            )
    torch.manual_seed(0)
    return models.build(name, signature, types, chosen), types


def encoded(column_type, values):
    arrays = [torch.from_numpy(np.asarray(column_type.encode(value), column_type.layout.dtype)) for value in values]
    return Ragged.of(arrays) if column_type.layout.ragged else torch.stack(arrays)


def inputs_of(signature, types, rows=slice(None)):
    return {
        slot.name: types["input", slot.name].collate(encoded(types["input", slot.name], REAL[slot.name][rows]), None) for slot in signature.inputs
    }


def answers_of(slot, types):
    column_type = types["output", slot]
    arrays = encoded(column_type, REAL[slot])
    return column_type.collate(arrays, None), column_type.present(arrays)


READINGS = ({"tokenizer": "words"}, {"tokenizer": "bpe"}, {"tokenizer": "char", "max": 24}, {"grams": False}, {"max": 4, "long": "windows"})


@pytest.mark.parametrize("options", READINGS, ids=str)
@pytest.mark.parametrize("name", (*SEQUENCES, "lstm(cell=gru,pooling=last,layers=2)", "lstm(pooling=mean,both=false)", "textcnn(places=8)"))
def test_a_text_is_read_alike_whatever_stands_beside_it(name, options):
    net, types = real(name, NOTES, **options)
    net, signature, column_type = net.eval(), parsed(NOTES), types["input", "notes"]
    together = {
        slot: torch.stack([net({"notes": view})[slot] for view in column_type.views(inputs_of(signature, types)["notes"])]).mean(0)
        for slot in ("colour", "age")
    }
    for row in range(6):
        views = column_type.views(inputs_of(signature, types, slice(row, row + 1))["notes"])
        for slot, whole in together.items():
            alone = torch.stack([net({"notes": view})[slot] for view in views]).mean(0)
            torch.testing.assert_close(alone[0], whole[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SEQUENCES)
def test_gradients_of_texts_reach_every_parameter(name):
    net, types = real(name, NOTES)
    signature = parsed(NOTES)
    for value in net.parameters():  # away from zero initialisations, which delay some gradients by a step
        value.data.add_(torch.randn_like(value) * 0.1)
    total(net.eval()(inputs_of(signature, types))).backward()
    assert not [key for key, value in net.named_parameters() if value.grad is None or not value.grad.abs().sum() > 0]


def test_a_model_of_sequences_wants_one_in_order():
    for text, options, says in (
        ("age:number -> colour:category", {}, "takes one sequence, such as a text; got number"),
        ("notes:text, age:number -> colour:category", {}, "got text, number"),
        ("notes:text -> colour:category", {"tokenizer": "ngrams"}, "a bag without order"),
    ):
        with pytest.raises(ConfigError, match=says) as caught:
            real("textcnn", text, **options)
        assert str(caught.value).count("\n") < 3
    with pytest.raises(ConfigError, match="nothing is left to read"):
        real("ngrams", "notes:text -> colour:category", grams=False)


# --- the builder ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "options", "says"),
    (
        ("resnt", SIGNATURES[0], {}, "did you mean 'resnet'"),
        ("resnet", SIGNATURES[0], {"dept": 20}, "did you mean 'depth'"),
        ("resnet", SIGNATURES[0], {"depth": 21}, "Next to it: 20, 22"),
        ("resnet", SIGNATURES[0], {"depth": 20, "blocks": [2, 2]}, "got both"),
        ("resnet", SIGNATURES[0], {"stem": "large", "stride": 2}, "stride is for the small stem"),
        ("resnet", SIGNATURES[1], {}, "--model mlp"),
        ("vit", SIGNATURES[0], {"width": 10, "heads": 3}, "multiple of the heads"),
        ("mlp", SIGNATURES[3], {}, "--model fusion"),
        ("mlp", "-> days:number", {}, "needs an input"),
        ("fusion", SIGNATURES[1], {"blocks": 2}, "mix=attention"),
    ),
)
def test_what_does_not_fit_is_said(name, text, options, says):
    with pytest.raises(ConfigError, match=says) as caught:
        built(name, text, options=options)
    assert str(caught.value).count("\n") < 3


def test_kinds_and_sides_are_checked():
    signature = parsed("age:number -> days:number")
    with pytest.raises(ConfigError, match="did you mean 'huber'"):
        models.build("linear", signature, rooms_of(signature), {}, {"days": "hubr"})
    signature = parsed("age:number -> photo:image")
    with pytest.raises(SignatureError, match="right of the arrow"):
        models.build("linear", signature, rooms_of(signature), {})
    with pytest.raises(SignatureError, match="left of the arrow"):
        models.build("linear", parsed("age:number -> days:number"), {("input", "age"): DataType(), ("output", "days"): Number()}, {})


def test_naming_models_loads_no_torch():
    code = "import sys, mapsto.models, mapsto.registry; mapsto.registry.names('models'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- what is special to each ---------------------------------------------------------------------------------------------------


def size_of(make) -> int:
    with torch.device("meta"):
        return sum(value.numel() for value in make().parameters())


def test_sizes_are_the_papers():
    """Bodies without the head of 1,000 classes: published parameter counts less width · 1000 + 1000."""
    post = {"preactivation": False}
    assert size_of(lambda: resnet.features(resnet.Config(depth=18, **post), 3, 224)) == 11_689_512 - 513_000  # torchvision resnet18
    assert size_of(lambda: resnet.features(resnet.Config(depth=50, **post), 3, 224)) == 25_557_032 - 2_049_000  # and resnet50
    assert size_of(lambda: resnet.features(resnet.Config(depth=20), 3, 32)) == pytest.approx(0.27e6, rel=0.02)  # He 2015, table 6
    assert size_of(lambda: resnet.features(resnet.Config(depth=110), 3, 32)) == pytest.approx(1.7e6, rel=0.02)
    assert size_of(lambda: alexnet.AlexNet(alexnet.Config(norm="local"), 3, 224)) == 62_378_344 - 4_097_000  # without its two groups
    base = vit.Config(width=768, depth=12, heads=12, pooling="class")
    assert size_of(lambda: vit.VisionTransformer(base, 3, 224)) == 86_567_656 - 769_000  # timm vit_base_patch16_224


@pytest.mark.parametrize(
    ("options", "size", "stages"),
    (
        ({}, 28, [(3, 16, 1), (3, 32, 2), (3, 64, 2)]),
        ({}, 512, [(2, 64, 1), (2, 128, 2), (2, 256, 2), (2, 512, 2)]),
        ({"depth": 10}, 32, [(2, 16, 1), (1, 32, 2), (1, 64, 2)]),
        ({"depth": 164, "block": "bottleneck"}, 32, [(18, 16, 1), (18, 32, 2), (18, 64, 2)]),
        ({"blocks": (2, 2), "width": 64}, 28, [(2, 64, 1), (2, 128, 2)]),
        ({"depth": 34}, 32, [(3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)]),
    ),
)
def test_resnet_stages(options, size, stages):
    assert resnet.stages_of(resnet.Config(**options), size)[0] == stages


@pytest.mark.parametrize(
    "options",
    (
        {},
        {"preactivation": False},
        {"norm": "group"},
        {"block": "bottleneck", "depth": 20},
        {"stem": "large"},
        {"stride": 2},
        {"stochastic_depth": 0.5, "dropout": 0.5},
    ),
)
def test_resnet_variants_start_as_their_shortcuts(options):
    torch.manual_seed(0)
    body = resnet.features(resnet.Config(**{"depth": 8, "width": 4, **options}), 3, 20)
    x = torch.randn(4, 3, 20, 20)
    assert body(x).shape[1] == body.width
    body.eval()
    for block in body.blocks:
        if block.project is None:
            wanted = torch.randn(2, block.width, 5, 5).relu()
            assert torch.equal(block(wanted), wanted)
    body.train()(x).square().mean().backward()
    assert all(value.grad is not None for value in body.parameters())


@pytest.mark.parametrize("preactivation", (True, False))
def test_resnet_110_trains(preactivation):
    torch.manual_seed(0)
    body = resnet.features(resnet.Config(depth=110, width=4, preactivation=preactivation), 1, 8)
    net = nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))
    x = torch.randn(16, 1, 8, 8)
    y = (x.mean((1, 2, 3)) > 0).long()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    losses = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


def test_batch_norm_of_one_value_takes_the_running_statistics():
    norm = resnet.BatchNorm(3)
    x = torch.randn(1, 3, 1, 1)
    torch.testing.assert_close(norm(x), x, rtol=1e-4, atol=1e-4)
    assert int(norm.num_batches_tracked) == 0


def test_tabm_members_are_batch_ensemble():
    torch.manual_seed(0)
    net = mlp.Mlp([4, 4, 1], mlp.Config(width=6, depth=2, members=3, dropout=0.0))
    x = torch.randn(5, 9)
    found = net(x)
    assert found.shape == (5, 3, 6)
    for member in range(3):
        hidden = x
        for layer in net.layers:
            r, s, bias = (part.view(3, -1)[member] for part in (layer.r, layer.s, layer.bias))
            hidden = (((hidden * r) @ layer.weight.T) * s + bias).relu()
        torch.testing.assert_close(found[:, member], hidden)
    signs = net.layers[0].r.view(3, 9)
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert all((signs[:, low : low + 4] == signs[:, low : low + 1]).all() for low in (0, 4))  # one sign a token
    assert all((layer.r == 1).all() for layer in list(net.layers)[1:])


@pytest.mark.parametrize(
    "options",
    (
        {"adapter": "output"},
        {"scales": "normal"},
        {"norm": "batch"},
        {"norm": "layer"},
        {"init": "he"},
        {"init": "xavier"},
        {"activation": "mish"},
        {"members": 1, "norm": "batch"},
    ),
)
def test_mlp_variants(options):
    net = built("mlp", SIGNATURES[1], options={**SMALL["mlp"], **options})
    outputs = net(sampled(SIGNATURES[1], 4))
    assert outputs["label"].shape == ((4, 5) if options.get("members") == 1 else (4, 3, 5))
    if "members" not in options:
        assert not torch.equal(outputs["label"][:, 0], outputs["label"][:, 1])
    total(outputs).backward()
    assert all(value.grad is not None for value in net.parameters())
    assert net(sampled(SIGNATURES[1], 1))["label"].isfinite().all()


def test_mlp_averages_large_images_down():
    net = built("mlp", SIGNATURES[0], options={**SMALL["mlp"], "pixels": 8}, size=17)
    assert net.body[1].layers[0].weight.shape[1] == 3 * 6 * 6
    assert net(sampled(SIGNATURES[0], 2, size=17))["label"].shape == (2, 3, 5)


@pytest.mark.parametrize("options", ({"pooling": "class"}, {"stochastic_depth": 0.5, "dropout": 0.1}, {"patch": 5}, {"init": "normal"}))
def test_vit_variants(options):
    net = built("vit", SIGNATURES[0], options={**SMALL["vit"], **options})
    assert net.heads.gives == ("pooled" if "pooling" in options else "tokens")
    total(net(sampled(SIGNATURES[0], 2))).backward()
    assert all(value.grad is not None for value in net.parameters())


@pytest.mark.parametrize(("size", "tokens"), ((28, 49), (32, 64), (64, 64), (96, 144), (224, 196), (512, 256)))
def test_vit_patches(size, tokens):
    with torch.device("meta"):
        assert vit.VisionTransformer(vit.Config(depth=1), 1, size).positions.num_embeddings == tokens


def test_attention_ignores_padding():
    torch.manual_seed(0)
    block = vit.Block(8, 2, 2, 0.0).eval()
    x = torch.randn(2, 5, 8)
    mask = torch.arange(5)[None] < torch.tensor([[3], [5]])
    torch.testing.assert_close(block(x, mask)[0, :3], block(x[:1, :3])[0])


@pytest.mark.parametrize("options", ({"mix": "attention"}, {"mix": "attention", "members": 2, "blocks": 1, "heads": 2}, {"members": 2}))
@pytest.mark.parametrize("text", SIGNATURES)
def test_fusion_variants(text, options):
    net, inputs = built("fusion", text, options={**SMALL["fusion"], **options}), sampled(text, 6)
    outputs = net(inputs)
    assert all(output.shape[1:-1] == ((2,) if "members" in options else ()) for output in outputs.values())
    total(outputs).backward()
    assert all(value.grad is not None for value in net.parameters())
    whole = net.eval()(inputs)
    alone = net({slot: value[4:5] for slot, value in inputs.items()})
    for slot, output in alone.items():
        torch.testing.assert_close(output[0], whole[slot][4], rtol=1e-4, atol=1e-5)


def test_fusion_does_without_an_image():
    text = "photo:image, age:number -> days:number"
    net, inputs = built("fusion", text).eval(), sampled(text, 4)
    inputs["photo"][1] = 0
    slot = net.body.slots[0]
    with torch.no_grad():
        slot.missing.fill_(2.0)
        tokens = slot(inputs["photo"])
    assert (tokens[1] == 2).all() and not (tokens[0] == 2).any()
    slot.hide = 0.999
    assert (slot.train()(inputs["photo"]) == 2).all()
    assert built("fusion", SIGNATURES[0]).body.slots[0].hide == 0  # never the only input
    assert isinstance(net.body, fusion.Fusion)


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
def test_attention_by_hand_is_the_kernels(causal: bool) -> None:
    """On processors, in bfloat16, three products stand for PyTorch's kernel: within bfloat16's rounding, and heads that share keys too."""
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 4, 9, 8), torch.randn(2, 2, 9, 8), torch.randn(2, 2, 9, 8)
    seen = None if causal else torch.arange(9) < torch.tensor([5, 9])[:, None, None, None]
    exact = attend(q, k, v, seen, causal)

    rough = attend(q.bfloat16().requires_grad_(), k.bfloat16(), v.bfloat16(), seen, causal)

    assert rough.dtype == torch.bfloat16 and torch.allclose(exact, rough.float(), atol=0.03)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    layer, x = Dropout(0.25), torch.ones(400, 501)

    y = layer(x)

    assert (y == 0).float().mean() == pytest.approx(0.25, abs=0.01) and y.mean() == pytest.approx(1, abs=0.01)
    assert (y == 0).float().mean(0).max() < 0.4 and len(y.unique()) == 2
    assert torch.equal(layer.eval()(x), x)
