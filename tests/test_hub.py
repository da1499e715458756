"""Public models: their own tokens and outputs against transformers, tuned whole and by adapters, kept in a run that needs the folder no more."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_exact import ignore

import mapsto
from mapsto import api, models
from mapsto.batch import Ragged
from mapsto.cli import main
from mapsto.errors import ConfigError
from mapsto.generation.beam import beam
from mapsto.generation.cached import Cached
from mapsto.generation.sampling import Sampling, tokens
from mapsto.models import _hub_files as hub_files
from mapsto.run import Run
from mapsto.signature import Signature, parse
from mapsto.types.category import Category
from mapsto.types.text import Text, pretrained
from mapsto.types.text.targets import decode_texts
from mapsto.types.text.tokenizers import FIRST, MISSING, PADDING, START, pieces_of

pytestmark = pytest.mark.usefixtures("without_reports", "one_thread")

transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")
tokenizers = pytest.importorskip("tokenizers")

WORDS = [
    "red",
    "green",
    "blue",
    "cold",
    "warm",
    "small",
    "large",
    "old",
    "new",
    "quiet",
    "loud",
    "the",
    "a",
    "house",
    "river",
    "tree",
    "stone",
    "bird",
    "song",
    "walks",
    "sings",
    "stands",
    "falls",
]
ODD = "A río, 你好 & <s>[SEP]!"


def sentences(number: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choice(WORDS) for _ in range(draw.randint(3, 9))) for _ in range(number)]


def bytes_tokenizer(special: list[str]):
    found = tokenizers.Tokenizer(tokenizers.models.BPE())
    found.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    found.train_from_iterator(
        sentences(200), tokenizers.trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    )
    return found


def word_pieces():
    found = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    found.normalizer = tokenizers.normalizers.BertNormalizer()
    found.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    found.decoder = tokenizers.decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    found.train_from_iterator(sentences(200), tokenizers.trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False))
    marks = [("[CLS]", found.token_to_id("[CLS]")), ("[SEP]", found.token_to_id("[SEP]"))]
    found.post_processor = tokenizers.processors.TemplateProcessing("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", marks)
    return found


def saved(kind: str, folder: Path) -> Path:
    """A public model of a kind, tiny and with weights drawn, as transformers saves it."""
    torch.manual_seed(1)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64}
    if kind == "bert":
        own = transformers.PreTrainedTokenizerFast(
            tokenizer_object=word_pieces(), pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]"
        )
        model = transformers.BertModel(transformers.BertConfig(vocab_size=len(own), **small))
    elif kind == "gpt2":
        own = transformers.PreTrainedTokenizerFast(
            tokenizer_object=bytes_tokenizer(["<|endoftext|>"]), eos_token="<|endoftext|>", bos_token="<|endoftext|>"
        )
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=len(own), n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0)
        )
    elif kind == "llama":
        own = transformers.PreTrainedTokenizerFast(tokenizer_object=bytes_tokenizer(["<s>", "</s>"]), eos_token="</s>", bos_token="<s>")
        model = transformers.LlamaForCausalLM(
            transformers.LlamaConfig(vocab_size=len(own), num_key_value_heads=1, bos_token_id=0, eos_token_id=1, **small)
        )
    elif kind == "t5":
        tokenizer = bytes_tokenizer(["<pad>", "</s>", "<unk>"])
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
        own = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
        model = transformers.T5ForConditionalGeneration(
            transformers.T5Config(
                vocab_size=len(own), d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=2, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1
            )
        )
    else:
        tokenizer = bytes_tokenizer(["<s>", "<pad>", "</s>", "<unk>"])
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> </s> $B </s>", [("<s>", 0), ("</s>", 2)])
        own = transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token="<s>", pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
        )
        sides = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 48))}
        model = transformers.BartForConditionalGeneration(
            transformers.BartConfig(vocab_size=len(own), d_model=32, max_position_embeddings=64, **sides)
        )
    with hub_files.quiet():
        model.eval().save_pretrained(folder)
        own.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory):
    """{kind: its folder}, made once."""
    made: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in made:
            made[kind] = saved(kind, tmp_path_factory.mktemp("public") / kind)
        return made[kind]

    return of


def built(text: str, folder: Path, values: dict[str, list], **options):
    """(net with the public weights, rooms) of a signature whose slots are named by their types, fitted on values."""
    found = parse(text)
    sides = [tuple(replace(slot, type=slot.type or slot.name) for slot in side) for side in (found.inputs, found.outputs)]
    signature = Signature(*sides)
    options = {"source": str(folder), **options}
    wanted = models.wants("hub", signature, options)
    kinds = {"category": Category, "text": Text}
    types = {}
    for side, slots in (("input", signature.inputs), ("output", signature.outputs)):
        for slot in slots:
            kind = {"kind": "sequence" if signature.inputs else "tokens"} if side == "output" and slot.type == "text" else {}
            column_type = kinds[slot.type].with_options(slot.type, slot.options)
            types[side, slot.name] = column_type.fit(values[slot.name], {"side": side, "rows": 9, "name": slot.name, **wanted.get(slot.name, {}), **kind})
    found = models.find("hub", signature, options)
    net = models.build("hub", signature, types, options, None if not kind else {slot.name: kind["kind"]}, found)
    models.load_pretrained("hub", net, signature, options, found)
    return net.eval(), types


def collated(column_type: Text, values: list[str | None]):
    return column_type.collate(Ragged.of(column_type.encode_all(values)), None)


# --- against transformers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ("bert", "gpt2", "t5", "bart"))
def test_texts_are_read_as_transformers_reads_them(public, kind: str) -> None:
    own = transformers.AutoTokenizer.from_pretrained(public(kind), split_special_tokens=True)
    texts = [*sentences(20, 3), ODD, "", "x" * 300]
    _, types = built("text(max=12) -> category", public(kind), {"text": texts, "category": ["a", "b"]})
    column_type = types["input", "text"]
    expected = own(texts, truncation=True, max_length=12)["input_ids"]
    assert [(found[1:] - FIRST).tolist() for found in column_type.encode_all(texts)] == expected
    assert column_type.encode(None)[0] == MISSING and column_type.from_json(json.loads(json.dumps(column_type.to_json()))) == column_type


@pytest.mark.parametrize("kind", ("bert", "gpt2", "t5", "bart"))
def test_an_encoder_sees_what_transformers_makes_it_see(public, kind: str) -> None:
    texts = [*sentences(5), ODD]
    net, types = built("text -> category", public(kind), {"text": texts, "category": ["a", "b"]}, pooling="mean")
    own = transformers.AutoTokenizer.from_pretrained(public(kind), split_special_tokens=True)
    with hub_files.quiet():
        theirs = transformers.AutoModel.from_pretrained(public(kind)).eval()
    reads = theirs.get_encoder() if theirs.config.is_encoder_decoder else theirs
    with torch.no_grad():
        found = net.embed({"text": collated(types["input", "text"], texts)})
        expected = [reads(**own(text, return_tensors="pt", return_token_type_ids=False)).last_hidden_state.mean(1)[0] for text in texts]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-5, atol=1e-5)
    assert net({"text": collated(types["input", "text"], [None, ""])})["category"].isfinite().all()


@pytest.mark.parametrize("kind", ("gpt2", "llama"))
def test_a_decoder_says_what_transformers_says(public, kind: str) -> None:
    texts = sentences(30)
    net, types = built("-> text(max=24)", public(kind), {"text": texts})
    column_type = types["output", "text"]
    with hub_files.quiet():
        theirs = transformers.AutoModelForCausalLM.from_pretrained(public(kind)).eval()
    numbers = torch.from_numpy(np.stack([column_type.encode(text)[:8] for text in texts[:4]]).astype(np.int64))
    ids = torch.where(numbers == START, theirs.config.bos_token_id, numbers - FIRST)
    with torch.no_grad():
        logits, expected = net({}, condition=numbers)["text"], theirs(input_ids=ids).logits
        torch.testing.assert_close(logits[..., START], expected[..., theirs.config.eos_token_id], rtol=1e-5, atol=1e-5)
        others = [number for number in range(expected.shape[-1]) if number != theirs.config.eos_token_id]
        torch.testing.assert_close(logits[..., FIRST:][..., others], expected[..., others], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(logits.log_softmax(-1)[..., START], expected.log_softmax(-1)[..., theirs.config.eos_token_id])
        how = Sampling(tokens=12, temperature=0)
        cached = np.array(list(tokens(Cached(net), numbers.numpy(), range(4), how))).T
        assert (cached == np.array(list(tokens(Cached(net, cached=False), numbers.numpy(), range(4), how))).T).all()
        written = theirs.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, pad_token_id=theirs.config.eos_token_id
        )[:, 8:]
    for mine, yours in zip(cached.tolist(), written.tolist(), strict=True):
        ends = next((i for i, token in enumerate(mine) if token == START), len(mine))
        assert [token - FIRST for token in mine[:ends]] == yours[:ends]


@pytest.mark.parametrize("kind", ("t5", "bart"))
def test_an_encoder_decoder_learns_and_writes_as_transformers_does(public, kind: str) -> None:
    texts, answers = sentences(30), sentences(30, 1)
    net, types = built("text -> answer:text", public(kind), {"text": texts, "answer": answers})
    own = transformers.AutoTokenizer.from_pretrained(public(kind))
    with hub_files.quiet():
        theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(public(kind)).eval()
    inputs, target = {"text": collated(types["input", "text"], texts[:3])}, collated(types["output", "answer"], answers[:3])
    condition = torch.cat([torch.full((3, 1), START), target.values[:, :-1]], 1)
    labels = own(answers[:3], padding=True, return_tensors="pt")["input_ids"]
    labels = labels.masked_fill(labels == own.pad_token_id, -100)
    read = own(texts[:3], padding=True, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        (head,) = (head for _, head in net.heads.items())
        nats, count = head.loss(net(inputs, condition=condition)["answer"], target)
        torch.testing.assert_close(nats.sum() / count.sum(), theirs(**read, labels=labels).loss, rtol=1e-5, atol=1e-5)
        wishes = {"max_new_tokens": 10, "do_sample": False, "forced_bos_token_id": None, "forced_eos_token_id": None}
        plain = theirs.generate(**read, num_beams=1, **wishes)
        found = beam(net.next, net.begin(inputs), 3, 10, 1, 0.0)
        assert decode_texts(found.tokens, "public", types["output", "answer"].codes, "") == own.batch_decode(plain, skip_special_tokens=True)
        three = beam(net.next, net.begin(inputs), 3, 10, 3, 0.0)
        assert (three.score >= found.score - 1e-4).all()


def test_pieces_spell_texts() -> None:
    codes = bytes_tokenizer(["</s>"]).to_str()
    pieces = pieces_of("public", codes, "")
    ids = pretrained.content([ODD], codes)[0]
    assert b"".join(pieces[number + FIRST] for number in ids).decode() == ODD and pieces[PADDING] == b"" and pieces[FIRST] == b""
    words = word_pieces().to_str()
    ids = pretrained.content(["red houses"], words)[0]
    assert b"".join(pieces_of("public", words, "")[number + FIRST] for number in ids).decode() == " red houses"


# --- whole trainings ---------------------------------------------------------------------------------------------------------------

SURE = {"threads": 1, "precision": "float32", "plan": "default", "emit": ignore}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts, and whether 'cold' or 'warm' stands in them."""
    path = tmp_path_factory.mktemp("rows") / "weather.jsonl"
    draw = random.Random(5)
    lines = []
    for text in sentences(400, 7):
        label = draw.choice(("cold", "warm"))
        words = [word for word in text.split() if word not in ("cold", "warm")]
        words.insert(draw.randint(0, len(words)), label)
        lines.append(json.dumps({"text": " ".join(words), "label": "winter" if label == "cold" else "summer"}))
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def tuned(rows: Path, folder: Path, out: Path, steps: int = 120, **more) -> Run:
    return mapsto.train(rows, "text -> label:category", start=f"hub:{folder}", out=out, steps=steps, batch=16, **{"lr": 3e-3, **SURE, **more})


def test_an_encoder_is_tuned_and_its_run_needs_the_folder_no_more(rows: Path, public, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(public("bert"), tmp_path / "bert"))
    run = tuned(rows, folder, tmp_path / "runs")
    assert run.metrics["test"]["label"]["accuracy"]["value"] >= 0.9  # half of the rows are of one class
    answers = [answer.predictions["label"].value for answer in mapsto.load(run.path).predict(["a cold river", "the warm bird sings"])]
    assert answers == ["winter", "summer"]
    again = Path(shutil.copytree(run.path, tmp_path / "elsewhere"))
    shutil.rmtree(folder)
    assert [answer.predictions["label"].value for answer in mapsto.load(again).predict(["a cold river", "the warm bird sings"])] == answers
    _, equal = api.reproduce(again, emit=ignore)
    assert equal
    more = mapsto.train(rows, "text -> label:category", start=str(again), out=tmp_path / "more", steps=4, **SURE)
    assert more.metrics["test"]["label"]["accuracy"]["value"] >= 0.9


def test_adapters_alone_are_trained(rows: Path, public, tmp_path: Path) -> None:
    heard: list = []
    run = tuned(rows, public("bert"), tmp_path, lora="4", lr=1e-2, emit=heard.append)
    first, last = run.first_model().state_dict(), run.model.state_dict()
    moved = {name for name in last if not torch.equal(first[name], last[name])}
    assert moved and all("lora_" in name or name.startswith("heads.") for name in moved)
    assert any("lora_B" in name for name in moved) and run.metrics["test"]["label"]["accuracy"]["value"] >= 0.8
    (said,) = [line for event in heard if event["event"] == "decided" for line in event["said"] if line.startswith("starts from hub:")]
    trained = sum(value.numel() for value in run.model.parameters() if value.requires_grad)
    assert f"adapters of rank 4 and heads are trained, {trained:,} of " in said


@pytest.mark.parametrize("lora", (None, "2"))
def test_a_tuning_that_was_cut_off_goes_on_exactly(rows: Path, public, tmp_path: Path, lora, monkeypatch: pytest.MonkeyPatch) -> None:
    from mapsto.training.trainer import Trainer

    whole = tuned(rows, public("bert"), tmp_path / "whole", steps=24, lora=lora)
    learned, look = [], Trainer._look

    def cut(self, logs):
        look(self, logs)
        if self.step == 11 and not learned:
            learned.append(True)
            self.save()
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_look", cut)
    with pytest.raises(KeyboardInterrupt):
        tuned(rows, public("bert"), tmp_path / "cut", steps=24, lora=lora)
    (path,) = (tmp_path / "cut").iterdir()
    assert api.same_weights(whole.path, api.resume(path, emit=ignore).path)


def test_a_decoder_is_tuned_and_writes(public, tmp_path: Path) -> None:
    text = tmp_path / "song.txt"
    text.write_text("\n".join(f"the bird sings a {colour} song" for colour in ["red", "blue"] * 300), encoding="utf-8")
    run = mapsto.train(text, "-> text:text(max=32)", start=f"hub:{public('gpt2')}", out=tmp_path / "runs", steps=150, batch=8, lr=3e-3, **SURE)
    found, baselines = run.metrics["test"]["text"]["loss"]["value"], run.metrics["baselines"]
    assert found < 0.5, baselines
    (written,) = run.sample(prompt="the bird", tokens=8, temperature=0)
    assert "sings a" in written
    ((_, figures),) = run.score(["the bird sings a red song"])
    assert figures["nats_per_token"] < 2.0


def test_an_encoder_decoder_is_tuned_and_answers(public, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    colours = {"red": "rouge", "blue": "bleu", "green": "vert"}
    lines = [{"en": f"the {word} {thing}", "fr": f"{colours[word]}"} for word in colours for thing in WORDS] * 6
    pairs.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    run = mapsto.train(pairs, "en:text -> fr:text", start=f"hub:{public('t5')}", out=tmp_path / "runs", steps=150, batch=16, lr=1e-2, **SURE)
    answers = [answer.predictions["fr"].value for answer in run.predict(["the red stone", "the blue house"])]
    assert answers == ["rouge", "bleu"]


# --- what is refused ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "signature", "options", "says"),
    (
        ("bert", "-> text", {}, "is an encoder"),
        ("bert", "text -> answer:text", {}, "is an encoder"),
        ("gpt2", "text -> answer:text", {}, "is a decoder"),
        ("t5", "-> text", {}, "is an encoder-decoder"),
        ("bert", "text, more:text -> category", {}, "learn from one text, or write one"),
        ("bert", "text(tokenizer=char) -> category", {}, "tokenizer=char has no meaning"),
        ("bert", "text(max=100) -> category", {}, "reads 64 tokens at most"),
        ("bert", "text -> category", {"lora": -2}, "lora"),
    ),
)
def test_what_does_not_fit_is_said(public, kind: str, signature: str, options: dict, says: str) -> None:
    values = {"text": sentences(9), "more": sentences(9), "answer": sentences(9), "category": ["a", "b"]}
    with pytest.raises(ConfigError, match=says):
        built(signature, public(kind), values, **options)


def test_folders_that_cannot_be_used_are_said(public, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(public("bert"), tmp_path / name))

    def refused(folder: Path | str, says: str) -> None:
        with pytest.raises(ConfigError, match=says) as problem:
            models.wants("hub", parse("text:text -> category:category"), {"source": str(folder)})
        assert len(str(problem.value).splitlines()) <= 3

    pickled = copy("pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    refused(pickled, "expected weights as safetensors, found pytorch_model.bin")
    slow = copy("slow")
    (slow / "tokenizer.json").unlink()
    refused(slow, "expected a fast tokenizer")
    strange = copy("strange")
    record = json.loads((strange / "config.json").read_text())
    (strange / "config.json").write_text(json.dumps({**record, "model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}}))
    (strange / "mine.py").write_text("raise SystemExit('code of a model was run')")
    refused(strange, "Models that bring code of their own are not run")
    refused(tmp_path, "expected a public model's config.json")
    refused("./nowhere", "expected the folder of a public model")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    refused("someone/not-here", "not in the local cache; the network is not asked")
    refused("not a name", "not in the local cache")


def read_whole(folder: Path, part: str = "text -> category:category") -> None:
    """Everything that is read of a public model before it is trained, and one pass of it."""
    values = {"text": sentences(9), "category": ["a", "b"], "en": sentences(9), "fr": sentences(9)}
    built(part, folder, values)


@pytest.mark.parametrize(
    ("file", "change", "says"),
    (
        ("config.json", {"num_hidden_layers": 1_000_000}, "no model has more than 1,000"),
        ("config.json", {"hidden_size": 10**9}, "no model has more than"),
        ("config.json", {"hidden_size": 8192, "intermediate_size": 65536}, "its files hold"),
        ("config.json", {"hidden_size": "wide"}, "cannot read its config.json"),
        ("config.json", {"model_type": ["bert"]}, "cannot read its config.json"),
        ("config.json", {"max_position_embeddings": -5}, "reads -5 tokens"),
        ("config.json", {"vocab_size": 20}, "its tokenizer numbers tokens up to"),
        ("config.json", {"quantization_config": {"bits": 4}}, "its weights are quantised"),
        ("config.json", {"model_type": "t5", "classifier_dropout": 0.0}, "its files hold|cannot be read"),
        ("config.json", {"model_type": "vit", "num_hidden_layers": 2}, "reads no texts|hold other weights"),
        ("config.json", {"model_type": "timm_wrapper"}, "cannot read its config.json|none of texts"),
        ("config.json", "[]", "is damaged"),
        ("config.json", "[" * 100_000, "is damaged"),
        ("tokenizer_config.json", "[]", "is damaged"),
        ("tokenizer.json", "{}", "its tokenizer cannot be read"),
        ("generation_config.json", "7", "is damaged"),
        ("model.safetensors.index.json", {"weight_map": {"a": "../outside.safetensors"}}, "no safetensors file"),
        ("model.safetensors.index.json", {"weight_map": {"a": "pytorch_model.bin"}}, "no safetensors file"),
        ("model.safetensors.index.json", {"weight_map": ["a"]}, "is damaged"),
        ("model.safetensors", "", "is damaged"),
    ),
)
def test_foreign_folders_end_in_three_lines(public, file: str, change: dict | str, says: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(public("bert"), tmp_path / "bert"))
    path = folder / file
    kept = json.loads(path.read_text()) if path.suffix == ".json" and path.exists() else {}
    path.write_text(change if isinstance(change, str) else json.dumps({**kept, **change}))
    with pytest.raises(ConfigError, match=says) as problem:
        read_whole(folder)
    assert len(str(problem.value).splitlines()) <= 3


def test_a_configuration_asks_for_nothing(public, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(public("bert"), tmp_path / "bert"))
    record = json.loads((folder / "config.json").read_text())
    asks = {
        "attn_implementation": "someone/kernel",
        "_attn_implementation": "someone/kernel",
        "transformers_weights": "../other.safetensors",
        "auto_map": {"AutoModel": "someone/code--model.Model"},
    }
    (folder / "config.json").write_text(json.dumps({**record, **asks}))
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "someone/else"}))
    told = json.loads((folder / "tokenizer_config.json").read_text())
    strange = {"model_max_length": "long", "auto_map": {"AutoTokenizer": ["someone/code--t.T", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, **strange}))

    def refuse(*where: object, **options: object) -> None:
        raise AssertionError(f"the network was asked: {where}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    read_whole(folder)
    kept = hub_files.architecture("it", folder, "encoder")
    assert not {name for name in asks if name in kept}
    tampered = {**kept, **asks}  # as a run's record may be
    net = hub_files.fresh(tampered, "encoder", 10**6)
    assert net.config._attn_implementation in ("sdpa", "eager")


def test_words_that_clash_are_said(rows: Path, public, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(rows), "--lora", "4"]) == 2
    assert "--lora trains adapters of a public model" in capsys.readouterr().err
    assert main(["train", str(rows), "text -> label:category", "--from", f"hub:{public('bert')}", "--model", "textcnn"]) == 2
    assert "Keep one of --from and --model" in capsys.readouterr().err
    assert main(["train", str(rows), "--from", f"hub:{public('bert')}", "--lora", "many"]) == 2
    assert "lora: expected a whole number" in capsys.readouterr().err
