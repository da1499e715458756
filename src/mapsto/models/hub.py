"""A public Hugging Face model as the body: an encoder, a decoder or an encoder-decoder of transformers, all
of it trained, or low-rank adapters in its layers (LoRA: Hu et al. 2021, arXiv:2106.09685, by the library
peft), or none of an encoder, behind which a linear model is solved (`frozen`).

A run holds all it needs: the architecture in its record, the tokenizer in the rooms of texts, the weights.
Token numbers of rooms are the model's own behind mapsto's marks: n + FIRST. Letters: B batch, T tokens, D
width, P tokens of the public model, V numbers of the room.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mapsto.batch import Field, Padded
from mapsto.config import Budget, Training, setting
from mapsto.errors import ConfigError
from mapsto.models import _hub_files as hub_files
from mapsto.models import baseline
from mapsto.models._hub_lora import adapted
from mapsto.models._hub_numbers import Numbered, Numbers
from mapsto.models._hub_probe import Probe, refuse
from mapsto.models._writers import LanguageModel, Writer
from mapsto.models.base import AsTheyAre, Heads, Net, Types, is_prose, pool
from mapsto.signature import Signature
from mapsto.types.base import learned
from mapsto.types.text.pretrained import PUBLIC
from mapsto.types.text.tokenizers import FIRST

LARGE = 50_000_000  # weights from which a model is trained more gently
TOKENS = 2_048  # learned from in a step of `-> text`


@dataclass(frozen=True)
class Config:
    source: str = setting(
        "", "the public model: a folder, or its ID on the Hugging Face Hub, as in --from hub:…"
    )
    lora: int = setting(
        0,
        "rank of adapters that are trained in place of its weights (--lora); 0: none, all weights are"
        " trained",
        above=-1,
    )
    frozen: bool = setting(
        False, "train none of an encoder: every text is encoded once, and a linear model solved on that"
    )
    pooling: str | None = setting(
        None,
        "which tokens tell of a text; default: as a sentence model's folder says, else last where each sees"
        " those before it alone, else mean",
        choices=("mean", "first", "last"),
    )
    architecture: str = learned("")  # its config.json, whole
    start: int = learned(-1)  # its mark that begins what is written
    end: int = learned(-1)
    pad: int = learned(0)
    hidden: int = learned(0)  # what stands for a token that is hidden
    pools: str = learned("")  # which tokens tell of a text, as its folder says
    weights: int = learned(0)
    fingerprint: str = learned("")  # of the files its weights came from


# ---- before the net is built ----


def wants(signature: Signature, config: Config) -> dict[str, dict[str, Any]]:
    """Texts in the model's own tokens, as many as it reads."""
    if not config.source:
        return {}
    part = _part(signature)
    refuse(config.frozen, config.lora, part)
    folder = hub_files.folder_of(config.source)
    codes, reach, _ = hub_files.tokenizer(
        config.source, folder, hub_files.architecture(config.source, folder, part)
    )
    return {
        slot.name: {"codes": codes, "reach": reach, "bag": False}
        for slot in signature.slots
        if is_prose(slot)
    }


def find(signature: Signature, config: Config) -> dict[str, Any]:
    """What the folder says: everything that a run must keep to build the net without it."""
    folder, part = hub_files.folder_of(_named(config).source), _part(signature)
    record = hub_files.architecture(config.source, folder, part)
    _, _, marks = hub_files.tokenizer(config.source, folder, record)
    if part != "encoder" and marks["end"] < 0:
        raise ConfigError(
            f"hub:{config.source}: has no mark that ends a text (eos_token_id), so it cannot write.\nTake"
            " another model."
        )
    digest, weights = hub_files.fingerprint(folder)
    pools = hub_files.pooling(config.source, folder)
    return {
        "architecture": json.dumps(record),
        **marks,
        "pools": pools,
        "weights": weights,
        "fingerprint": digest,
    }


def solved(config: Config) -> bool:
    """Its linear model, where nothing of it is trained."""
    return config.frozen


def defaults(facts: Any, config: Config) -> dict[str, Any]:
    """As Devlin et al. 2019 and Hu et al. 2021 tuned theirs: a few passes of AdamW at a small rate, gentler
    where weights are many."""
    if config.frozen:
        return baseline.defaults(facts, baseline.Config()) | {
            "why": f"a public model ({json.loads(config.architecture)['model_type']}) as it is: texts are"
            " encoded once, a linear model is solved"
        }
    part, rows = _part(facts.signature), max(1, facts.rows)
    rate = 2e-4 if config.lora else 5e-5 if config.weights < LARGE else 2e-5
    batch = int(min(32, max(8, 2 ** round(math.log2(rows / 100 + 1e-9)))))
    if part == "decoder":
        ((_, column_type),) = (
            (spot, column_type) for spot, column_type in facts.column_types.items() if spot[0] == "output"
        )
        batch, rows = max(1, TOKENS // column_type.most), max(1, facts.tokens // column_type.most)
    training = Training(
        optimizer="adamw",
        lr=rate,
        batch=batch,
        weight_decay=0.01,
        momentum=0.9,
        warmup=0.1,
        schedule="linear",
        clip=1.0,
        ema=0.0,
    )
    return {
        "training": training,
        "budget": Budget(epochs=max(3.0, 300 * batch / rows), patience=0.0),
        "learner_options": {"smoothing": 0.0} if part == "both" else {},
        "type_options": {},
        "why": f"a public model ({json.loads(config.architecture)['model_type']}), tuned",
    }


def load_pretrained(model: nn.Module, signature: Signature, config: Config) -> list[str]:
    """The public weights into a net built from the same folder. What a person should hear of them, a sentence
    each."""
    folder = hub_files.folder_of(config.source)
    found, missing = hub_files.pretrained(config.source, folder, _part(signature))
    body: Any = model.body if isinstance(model, Net) else model
    own = body.public.state_dict()
    for name, value in found.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        place = name if name in own else f"{owner}.base_layer.{leaf}"
        if place not in own or own[place].shape != value.shape:
            raise ConfigError(
                f"hub:{config.source}: its files hold {name}, for which its config.json has no place.\n"
                "Copy it again."
            )
        own[place].copy_(value)
    all_ = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    how = f"all {all_:,} weights are trained"
    if config.lora:
        how = f"adapters of rank {config.lora} and heads are trained, {trained:,} of {all_:,} weights"
    if config.frozen:
        how = f"none of its {all_:,} weights is trained"
    said = [f"starts from hub:{config.source} (weights {config.fingerprint[:12]}): {how}"]
    return [
        *said,
        *(
            [f"its files lack {len(missing)} weights, which are drawn anew: {', '.join(missing[:3])}"]
            if missing
            else []
        ),
    ]


def _part(signature: Signature) -> str:
    """Which part of a public model learns this: "encoder", "decoder" or "both". ConfigError: none does."""
    read = [is_prose(slot) for slot in signature.inputs]
    written = [is_prose(slot) for slot in signature.outputs]
    if written == [True] and not read:
        return "decoder"
    if written == [True] and read == [True]:
        return "both"
    if read == [True] and not any(written):
        return "encoder"
    raise ConfigError(
        f"public models learn from one text, or write one; got '{signature}'.\nWrite: text -> category, ->"
        " text, or text -> text."
    )


def _named(config: Config) -> Config:
    if not config.source:
        raise ConfigError(
            "model 'hub' is a public model, and none is named.\nName a folder or an ID: --from hub:./FOLDER"
        )
    return config


# ---- the net ----


def build(signature: Signature, types: Types, config: Config, kinds: Mapping[str, str]) -> nn.Module:
    part, record = _part(signature), json.loads(_named(config).architecture)
    public = adapted(hub_files.fresh(record, part, config.weights), config.lora)
    numbers = Numbers(config.start, config.pad, config.hidden)
    if part == "encoder":
        heads = Heads(signature, types, kinds, _width(public), "pooled")
        usual = config.pools or ("last" if _one_way(public) else "mean")
        reader = Reader(public, numbers, config.pooling or usual)
        return Net(AsTheyAre(), Probe(reader, _width(public)) if config.frozen else reader, heads)
    heads = Heads(signature, types, kinds, 1, "tokens")
    head: Any
    ((slot, head),) = heads.items()
    column_type: Any = types["output", slot]
    if column_type.kind == PUBLIC and head.writes == "next" and part == "decoder":
        net = Decoder(public, numbers, heads, head.most)
    elif column_type.kind == PUBLIC and head.writes == "answer" and part != "decoder":
        net = Answerer(public, numbers, heads, head.longest)
    else:
        way = "-> text" if part == "decoder" else "text -> text"
        raise ConfigError(
            f"model 'hub' writes texts in its own tokens; '{slot}' is none of these.\nWrite: {way}."
        )
    head.project = Numbered(config.end, head.vocabulary - FIRST)  # type: ignore[assignment]
    return net


def _width(public: Any) -> int:
    return public.config.get_text_config().hidden_size


def _one_way(public: Any) -> bool:
    """Does each token see those before it alone?"""
    transformers, kind = hub_files.library(), type(public.config)
    return (
        kind in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
        and kind not in transformers.MODEL_FOR_MASKED_LM_MAPPING
    )


class Reader(nn.Module):
    """{slot: Texts} -> (B, D)."""

    def __init__(self, public: nn.Module, numbers: Numbers, pooling: str):
        super().__init__()
        self.public, self.numbers, self.pooling = public, numbers, pooling

    def forward(self, features: Mapping[str, Any]) -> Tensor:
        (texts,) = features.values()
        tokens, there = self.numbers.read(texts)
        hidden = self.public(input_ids=tokens, attention_mask=there).last_hidden_state  # (B, T, D)
        lengths = there.sum(1)
        if self.pooling == "mean":
            return pool(Padded(hidden, lengths), "tokens")
        return (
            hidden[:, 0]
            if self.pooling == "first"
            else hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]
        )


class Decoder(LanguageModel):
    """Tokens (B, T), handed over as `given` -> {slot: logits (B, T, V)} of the token behind each, as
    `models.gpt` gives them."""

    def __init__(self, public: nn.Module, numbers: Numbers, heads: Heads, most: int):
        super().__init__()
        self.public, self.numbers, self.heads, self.most, self.kept_as = (
            public,
            numbers,
            heads,
            most,
            hub_files.kept_as(public),
        )

    def forward(
        self, inputs: Mapping[str, Field], condition: Any = None, size: int | None = None
    ) -> dict[str, Tensor]:
        return self.heads(self.public(input_ids=self.numbers(condition), use_cache=False).logits)

    def next(self, tokens: Tensor, cache: Past | None = None) -> Tensor:
        """(B, T) -> (B, V) float32: logits of the token behind the last."""
        if cache is None:
            found = self.public(input_ids=self.numbers(tokens), use_cache=False)
        else:
            found = self.public(input_ids=self.numbers(tokens), use_cache=True, **{self.kept_as: cache.kept})
        (logits,) = self.heads(found.logits[:, -1:]).values()
        return logits[:, -1].float()

    def cache(self, rows: int) -> Past:
        """An empty cache; it grows."""
        return Past(hub_files.library().DynamicCache(config=self.public.config))


class Past:
    """Keys and values of tokens seen, as transformers keeps them."""

    def __init__(self, kept: Any):
        self.kept = kept


class Answerer(Writer):
    """A text, and the tokens of an answer (B, T) handed over as `given` -> {slot: logits (B, T, V)}, as
    `models.seq2seq` gives them."""

    def __init__(self, public: nn.Module, numbers: Numbers, heads: Heads, most: int):
        super().__init__()
        self.public, self.numbers, self.heads, self.most, self.kept_as = (
            public,
            numbers,
            heads,
            most,
            hub_files.kept_as(public),
        )

    def forward(
        self, inputs: Mapping[str, Field], condition: Any = None, size: int | None = None
    ) -> dict[str, Tensor]:
        (texts,) = inputs.values()
        tokens, there = self.numbers.read(texts)  # type: ignore[arg-type]
        found = self.public(
            input_ids=tokens, attention_mask=there, decoder_input_ids=self.numbers(condition), use_cache=False
        )
        return self.heads(found.logits)

    def embed(self, inputs: Mapping[str, Field]) -> Tensor:
        """(B, D): the mean of what was read."""
        state = self.begin(inputs)
        return pool(Padded(state.memory, state.there.sum(1)), "tokens")

    def begin(self, inputs: Mapping[str, Field]) -> Begun:
        transformers, (texts,) = hub_files.library(), inputs.values()
        tokens, there = self.numbers.read(texts)  # type: ignore[arg-type]
        memory = self.public.get_encoder()(input_ids=tokens, attention_mask=there).last_hidden_state  # type: ignore[operator]
        config = self.public.config
        kept = transformers.EncoderDecoderCache(
            transformers.DynamicCache(config=config), transformers.DynamicCache(config=config)
        )
        return Begun(memory, there, kept)

    def next(self, tokens: Tensor, state: Begun) -> Tensor:
        found = self.public(
            encoder_outputs=hub_files.library().modeling_outputs.BaseModelOutput(
                last_hidden_state=state.memory
            ),
            attention_mask=state.there,
            decoder_input_ids=self.numbers(tokens[:, None]),
            use_cache=True,
            **{self.kept_as: state.kept},
        )
        (logits,) = self.heads(found.logits[:, -1:]).values()
        return logits[:, -1].float()


class Begun:
    """What is kept while B · K answers are written: for each what was read (B · K, S, D), which of it is
    there, and keys and values."""

    def __init__(self, memory: Tensor, there: Tensor, kept: Any):
        self.memory, self.there, self.kept = memory, there, kept

    def choose(self, rows: Tensor, answers: Tensor) -> None:
        """Go on with some of the answers (b · K,): positions among those there are."""
        self.memory, self.there = self.memory[answers], self.there[answers]
        self.kept.batch_select_indices(answers)
