"""Public models of the Hugging Face Hub on disk: where one is, what it says of itself, and its weights.

A name is a folder, or an ID, which is looked for in the local cache first; the network is asked because a
person named something that is not here, and never where HF_HUB_OFFLINE is set. Weights are read from
safetensors alone, and no code that comes with a model is run. The library transformers is imported where it
is used.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from mapsto.errors import ConfigError
from mapsto.models import _hub_record as hub_record
from mapsto.models._hub_record import first_line, foreign

TAKEN = (
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "1_Pooling/config.json",
)
# Of a sentence model (sentence-transformers), what its folder may say: which tokens tell of a text.
POOLING = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
    "pooling_mode_lasttoken": "last",
}
OFFSET = (
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "camembert",
    "roberta-prelayernorm",
    "mpnet",
    "longformer",
    "xmod",
    "data2vec-text",
    "ibert",
)
FEW = 1_000_000  # weights that a model may have beyond four times what its files hold
ANOTHER = "Copy it again, or take another model."
UNBOUND = 100_000  # tokens: a tokenizer's limit beyond which it has none
WORDS = {
    "encoder": "AutoModel",
    "decoder": "AutoModelForCausalLM",
    "both": "AutoModelForSeq2SeqLM",
}  # what a part is loaded by


def library(name: str = "transformers") -> ModuleType:
    """transformers or peft. ConfigError: not installed."""
    try:
        if name == "peft":
            import peft

            return peft
        import transformers

        return transformers
    except ImportError:
        raise ConfigError(
            f'public models need the library {name}, which is not installed: pip install "mapsto[hub]"'
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Without the library's progress bars and remarks."""
    logs = library().utils.logging
    level, bars = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity_error()
    logs.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logs.set_verbosity(level)
        if bars:
            logs.enable_progress_bar()


def folder_of(source: str) -> Path:
    """The folder of a public model, which holds its safetensors. ConfigError: not here and not to be had."""
    library()
    path = Path(source).expanduser()
    if not path.is_dir():
        if source.startswith((".", "/", "~")) or source.count("/") > 1:
            raise ConfigError(
                f"hub:{source}: expected the folder of a public model, found none there.\nCheck the path."
            )
        path = _cached(source)
    if not (path / "config.json").is_file():
        raise ConfigError(
            f"hub:{source}: expected a public model's config.json in {path}, found none.\nA run of mapsto is"
            " named without 'hub:'."
        )
    if not _weights(path):
        others = ", ".join(
            sorted(
                file.name
                for file in path.glob("*")
                if file.suffix in (".bin", ".pt", ".h5", ".msgpack", ".onnx")
            )
        )
        raise ConfigError(
            f"hub:{source}: expected weights as safetensors, found {others or 'none'}. Other formats can hold"
            " code and are not read.\nSave it anew: AutoModel.from_pretrained(…).save_pretrained(FOLDER)."
        )
    return path


def _cached(source: str) -> Path:
    """The folder of an ID: in the cache if it is there, else from the network."""
    from huggingface_hub import constants, errors, snapshot_download

    refused: Any = (
        *errors.HfHubHTTPError.__bases__,
        errors.LocalEntryNotFoundError,
        errors.HFValidationError,
        OSError,
    )  # its network library's too
    try:
        found = Path(snapshot_download(source, allow_patterns=list(TAKEN), local_files_only=True))
        if constants.HF_HUB_OFFLINE or _weights(found):
            return found
    except refused as problem:
        if constants.HF_HUB_OFFLINE or isinstance(problem, errors.HFValidationError):
            why = "the network is not asked (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "that is no ID"
            raise ConfigError(
                f"hub:{source}: no such folder, and not in the local cache; {why}.\nGive a folder: --from"
                " hub:./FOLDER"
            ) from None
    try:
        with quiet():
            return Path(snapshot_download(source, allow_patterns=list(TAKEN)))
    except refused as problem:
        raise ConfigError(
            f"hub:{source}: no such folder, not in the local cache, and not to be had"
            f" ({first_line(problem)}).\nGive a folder: --from hub:./FOLDER"
        ) from None


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def architecture(source: str, folder: Path, part: str) -> dict[str, Any]:
    """The model's config.json, complete. ConfigError: unknown, quantised, in need of code of its own, or none
    for this part."""
    record = hub_record.harmless(source, hub_record.read(source, folder / "config.json"))
    found = _configuration(source, record)
    _refuse_part(source, found, part)
    return {**json.loads(found.to_json_string(use_diff=False)), "dtype": "float32"}


def _configuration(source: str, record: dict[str, Any]) -> Any:
    """The library's, of a record that asks for nothing."""
    transformers = library()
    kind = record.get("model_type")
    said = f"hub:{source}: transformers {transformers.__version__} cannot read its config.json"
    advice = (
        "Models that bring code of their own are not run; take another, or update the library: pip install -U"
        " transformers"
    )
    with foreign(said, advice), quiet():
        if kind not in transformers.CONFIG_MAPPING:
            raise ValueError(f"it knows no model {kind!r:.40}")
        return transformers.CONFIG_MAPPING[kind].from_dict(record)


def _refuse_part(source: str, found: Any, part: str) -> None:
    transformers, kind = library(), type(found)
    writes = kind in transformers.MODEL_FOR_CAUSAL_LM_MAPPING and (
        kind not in transformers.MODEL_FOR_MASKED_LM_MAPPING or bool(getattr(found, "is_decoder", False))
    )
    both = kind in transformers.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
    if kind not in transformers.MODEL_MAPPING:
        raise ConfigError(
            f"hub:{source}: is a {kind.model_type} model, which is none of texts.\nTake an encoder, a decoder"
            " or an encoder-decoder."
        )
    if (part == "decoder" and (not writes or both)) or (part == "both" and not both):
        is_ = "an encoder-decoder" if both else "a decoder" if writes else "an encoder"
        fits = {
            "an encoder-decoder": "text -> text",
            "a decoder": "-> text",
            "an encoder": "text -> category",
        }[is_]
        raise ConfigError(
            f"hub:{source}: is {is_} ({kind.model_type}), which cannot learn this.\nIt learns: {fits}."
        )


def tokenizer(source: str, folder: Path, record: dict[str, Any]) -> tuple[str, int, dict[str, int]]:
    """(its tokenizer's JSON, tokens that the model reads at once at most, its marks: start, end, pad and
    hidden; -1 where it has none)."""
    transformers = library()
    if not (folder / "tokenizer.json").is_file():
        raise ConfigError(
            f"hub:{source}: expected a fast tokenizer, tokenizer.json, found none.\nSave it:"
            " AutoTokenizer.from_pretrained(…).save_pretrained(…)"
        )
    said = f"hub:{source}: its tokenizer cannot be read"
    with foreign(said, ANOTHER), quiet(), hub_record.airlock(source, folder) as room:
        found = transformers.AutoTokenizer.from_pretrained(
            room, local_files_only=True, trust_remote_code=False
        )
        codes = {**json.loads(found.backend_tokenizer.to_str()), "truncation": None, "padding": None}
        highest = max(found.get_vocab().values(), default=0)
    if highest >= (table := _table(record)):
        raise ConfigError(
            f"hub:{source}: its tokenizer numbers tokens up to {highest:,}, its table of tokens has"
            f" {table:,}.\nThey are not of one model; copy it again."
        )
    reach = _reach(record, int(min(found.model_max_length, UNBOUND)))
    if reach < 2:
        raise ConfigError(f"hub:{source}: reads {reach} tokens, by its config.json.\nCopy it again.")
    return json.dumps(codes, ensure_ascii=False), reach, _marks(source, folder, record, found)


def pooling(source: str, folder: Path) -> str:
    """Which tokens tell of a text, as a sentence model's folder says: "mean", "first" or "last"; "" where it
    says nothing of these, or more than one."""
    path = folder / "1_Pooling" / "config.json"
    said = hub_record.read(source, path) if path.is_file() else {}
    found = [how for name, how in POOLING.items() if said.get(name) is True]
    return found[0] if len(found) == 1 else ""


def _marks(source: str, folder: Path, record: dict[str, Any], found: Any) -> dict[str, int]:
    """{start, end, pad, hidden: the tokenizer's own number, else what the model says, else -1}."""
    path = folder / "generation_config.json"
    said, table = hub_record.read(source, path) if path.is_file() else {}, _table(record)

    def mark(number: int | None, name: str) -> int:
        known = [number, said.get(name), record.get(name)]
        single = (one[0] if isinstance(one, list) and one else one for one in known)
        return next((one for one in single if type(one) is int and 0 <= one < table), -1)

    end = mark(found.eos_token_id, "eos_token_id")
    pad = mark(found.pad_token_id, "pad_token_id")
    begins = mark(found.bos_token_id, "bos_token_id")
    start = mark(None, "decoder_start_token_id") if record.get("is_encoder_decoder") else begins
    start = start if start >= 0 else begins if begins >= 0 else end
    pad = pad if pad >= 0 else max(end, 0)
    hidden = next((one for one in (found.mask_token_id, found.unk_token_id) if one is not None), pad)
    return {"start": start, "end": end, "pad": pad, "hidden": hidden}


def _table(record: dict[str, Any]) -> int:
    """Tokens that a model has vectors for, by its record."""
    told = record.get("vocab_size") or record.get("text_config", {}).get("vocab_size")
    return told if isinstance(told, int) else hub_record.NUMBER


def _reach(record: dict[str, Any], limit: int) -> int:
    """Tokens that are read at once at most: what places there are, and what the tokenizer says."""
    places = record.get("max_position_embeddings") or record.get("n_positions")
    if places is None or "relative_attention_num_buckets" in record:
        return limit if limit < UNBOUND else 1024
    shift = 1 + (record.get("pad_token_id") or 0) if record["model_type"] in OFFSET else 0
    return min(limit, places - shift)


def fingerprint(folder: Path) -> tuple[str, int]:
    """(a hash of the weights' files, how many weights they hold)."""
    digest, count = hashlib.blake2b(digest_size=16), 0
    for path in _weights(folder):
        with path.open("rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
        try:
            with safe_open(path, "pt") as tensors:
                count += sum(
                    torch.Size(tensors.get_slice(name).get_shape()).numel()
                    for name in tensors.keys()  # noqa: SIM118
                )
        except SafetensorError as problem:
            raise ConfigError(f"{path}: is damaged ({first_line(problem)}).\nCopy it again.") from None
    return digest.hexdigest(), count


def fresh(record: dict[str, Any], part: str, weights: int) -> nn.Module:
    """The architecture with weights drawn anew. weights: as many as its files hold. ConfigError: unknown
    here, none that reads texts, or another size than its weights."""
    config = _configuration("config.json", hub_record.harmless("config.json", record))
    make = getattr(library(), WORDS[part]).from_config
    with foreign("this public model cannot be built", ANOTHER), quiet():
        with torch.device("meta"):  # which takes no memory
            needed = sum(one.numel() for one in make(config, trust_remote_code=False).parameters())
        if needed > 4 * weights + FEW:
            raise ValueError(f"its config.json means {needed:,} weights, its files hold {weights:,}")
        return _of_texts(make(config, trust_remote_code=False), part)


def kept_as(model: nn.Module) -> str:
    """What a model's `forward` calls the keys and values of tokens seen: transformers 5.24 gave them a
    shorter name."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def pretrained(source: str, folder: Path, part: str) -> tuple[nn.Module, list[str]]:
    """(the model with its weights, in float32; names of weights that the files do not hold, which are drawn
    anew)."""
    said = f"hub:{source}: its weights cannot be read"
    with foreign(said, "Copy it again."), quiet(), hub_record.airlock(source, folder, weights=True) as room:
        made, told = getattr(library(), WORDS[part]).from_pretrained(
            room,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
        whole = _of_texts(made, part)
    missing, own = sorted(set(told["missing_keys"]) & set(whole.state_dict())), dict(whole.named_parameters())
    if 2 * sum(own[name].numel() for name in missing if name in own) > sum(map(torch.numel, own.values())):
        raise ConfigError(
            f"hub:{source}: its files hold other weights than its config.json describes: {len(missing)} of"
            f" {len(own)} are missing, {missing[0]} among them.\nCopy it again."
        )
    return whole, missing


def _of_texts(model: Any, part: str) -> nn.Module:
    """The part of a model that reads texts, without what it would make of the first token for a task of its
    own. ValueError: it reads no tokens."""
    if "input_ids" not in inspect.signature(model.forward).parameters:
        raise ValueError(f"a {model.config.model_type} model reads no texts")
    if part != "encoder":
        return model
    reads = model.get_encoder() if model.config.is_encoder_decoder else model
    if "pooler" in dict(reads.named_children()):
        reads.pooler = None
    return reads
