"""FLUX.1-dev with its transformer and its T5 in 4 bits, for flux_4bit.yaml."""

from __future__ import annotations

from typing import Any

NAME = "black-forest-labs/FLUX.1-dev"
FOUR_BITS = {
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_compute_dtype": "bfloat16",
}


def pipeline() -> Any:
    """What each worker loads; its parts stay in 4 bits on the GPU."""
    import torch
    from diffusers import FluxPipeline, PipelineQuantizationConfig

    quantised = PipelineQuantizationConfig(
        quant_backend="bitsandbytes_4bit",
        quant_kwargs=FOUR_BITS,
        components_to_quantize=["transformer", "text_encoder_2"],
    )
    return FluxPipeline.from_pretrained(
        NAME, quantization_config=quantised, torch_dtype=torch.bfloat16, use_safetensors=True
    )
