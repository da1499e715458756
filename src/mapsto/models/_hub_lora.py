"""Adapters of low rank beside a public model's weights (LoRA, Hu et al. 2022)."""

from __future__ import annotations

from torch import nn

from mapsto.models import _hub_files as hub_files


def adapted(public: nn.Module, rank: int) -> nn.Module:
    """With adapters in every linear layer but the last, which alone are trained; twice their rank is their
    weight."""
    if not rank:
        return public
    peft, convolutions = hub_files.library("peft"), hub_files.library().pytorch_utils.Conv1D
    last = public.get_output_embeddings()  # type: ignore[operator]
    layers = {
        name: layer
        for name, layer in public.named_modules()
        if isinstance(layer, (nn.Linear, convolutions)) and layer is not last
    }
    turned = all(isinstance(layer, convolutions) for layer in layers.values())
    with hub_files.quiet():
        return peft.inject_adapter_in_model(
            peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=list(layers), fan_in_fan_out=turned),
            public,
        )
