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

TAKEN = (
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "*.safetensors",
    "*.safetensors.index.json",
)
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
            f" ({_first_line(problem)}).\nGive a folder: --from hub:./FOLDER"
        ) from None


def _weights(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _first_line(problem: BaseException) -> str:
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0][:140]


def architecture(source: str, folder: Path, part: str) -> dict[str, Any]:
    """The model's config.json, complete. ConfigError: unknown, quantised, in need of code of its own, or none
    for this part."""
    transformers = library()
    try:
        with quiet():
            found = transformers.AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError) as problem:
        raise ConfigError(
            f"hub:{source}: transformers {transformers.__version__} cannot read its config.json"
            f" ({_first_line(problem)}).\nModels that bring code of their own are not run; take another."
        ) from None
    if "quantization_config" in vars(found):
        raise ConfigError(
            f"hub:{source}: its weights are quantised, and cannot be trained.\nTake the model they were made"
            " from."
        )
    _refuse_part(source, found, part)
    return {**json.loads(found.to_json_string(use_diff=False)), "dtype": "float32"}


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
    try:
        with quiet():
            found = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError, ImportError) as problem:
        raise ConfigError(
            f"hub:{source}: its tokenizer cannot be read ({_first_line(problem)}).\nTake another model."
        ) from None
    if not found.is_fast:
        raise ConfigError(
            f"hub:{source}: its tokenizer is not one of the `tokenizers` library, and cannot be kept in a"
            " run.\nTake another model."
        )
    codes = json.dumps(
        {**json.loads(found.backend_tokenizer.to_str()), "truncation": None, "padding": None},
        ensure_ascii=False,
    )
    said = (
        json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
        if (folder / "generation_config.json").is_file()
        else {}
    )

    def mark(*names: str) -> int:
        known = [where.get(name) for name in names for where in (said, record)]
        first = [one[0] if isinstance(one, list) else one for one in known if one not in (None, [])]
        return int(first[0]) if first else -1

    def own(number: int | None, *names: str) -> int:
        return mark(*names) if number is None else number

    end = own(found.eos_token_id, "eos_token_id")
    pad = own(found.pad_token_id, "pad_token_id")
    begins = own(found.bos_token_id, "bos_token_id")
    start = mark("decoder_start_token_id") if record.get("is_encoder_decoder") else begins
    start = start if start >= 0 else begins if begins >= 0 else end
    pad = pad if pad >= 0 else max(end, 0)
    hidden = next((one for one in (found.mask_token_id, found.unk_token_id) if one is not None), pad)
    marks = {"start": start, "end": end, "pad": pad, "hidden": hidden}
    return codes, _reach(record, int(min(found.model_max_length, UNBOUND))), marks


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
            raise ConfigError(f"{path}: is damaged ({_first_line(problem)}).\nCopy it again.") from None
    return digest.hexdigest(), count


def fresh(record: dict[str, Any], part: str) -> nn.Module:
    """The architecture with weights drawn anew."""
    transformers = library()
    if record["model_type"] not in transformers.CONFIG_MAPPING:
        raise ConfigError(
            f"transformers {transformers.__version__} knows no model '{record['model_type']}'.\nUpdate it:"
            " pip install -U transformers"
        )
    with quiet():
        config = transformers.CONFIG_MAPPING[record["model_type"]].from_dict(record)
        return _of_texts(
            getattr(transformers, WORDS[part]).from_config(config, trust_remote_code=False), part
        )


def kept_as(model: nn.Module) -> str:
    """What a model's `forward` calls the keys and values of tokens seen: transformers 5.24 gave them a
    shorter name."""
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def pretrained(source: str, folder: Path, part: str) -> tuple[nn.Module, list[str]]:
    """(the model with its weights, in float32; names of weights that the files do not hold, which are drawn
    anew)."""
    try:
        with quiet():
            made, told = getattr(library(), WORDS[part]).from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as problem:
        raise ConfigError(
            f"hub:{source}: its weights cannot be read ({_first_line(problem)}).\nCopy it again."
        ) from None
    whole = _of_texts(made, part)
    return whole, sorted(set(told["missing_keys"]) & set(whole.state_dict()))


def _of_texts(model: Any, part: str) -> nn.Module:
    """The part of a model that reads texts, without what it would make of the first token for a task of its
    own."""
    if part != "encoder":
        return model
    reads = model.get_encoder() if model.config.is_encoder_decoder else model
    if "pooler" in dict(reads.named_children()):
        reads.pooler = None
    return reads
