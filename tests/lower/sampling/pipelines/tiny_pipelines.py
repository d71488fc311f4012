"""Pipelines of the real classes with tiny random weights, as `save_pretrained` writes them."""
# ruff: noqa: E402 - what follows needs transformers

import json
import string

import pytest
import torch

transformers = pytest.importorskip(
    "transformers", reason="text models need the extra 'text', with which CI runs these tests apart"
)

from diffusers import (
    AutoencoderDC,
    AutoencoderKL,
    CogView4Pipeline,
    CogView4Transformer2DModel,
    DDIMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    KandinskyV22CombinedPipeline,
    PixArtAlphaPipeline,
    PixArtTransformer2DModel,
    PriorTransformer,
    SanaPipeline,
    SanaTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UnCLIPScheduler,
    UNet2DConditionModel,
    VQModel,
)
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Split

from raybilevel.lower.sampling.pipelines.settings import PipelineSettings
from raybilevel.lower.sampling.pipelines.source import loaded

WIDTH = 16


def clip_tokenizer(length=16):
    letters = string.ascii_lowercase
    pieces = [*letters, *(f"{c}</w>" for c in letters), "re", "red</w>", "ca", "cat</w>"]
    names = ["<|startoftext|>", "<|endoftext|>", *pieces]
    merges = [("r", "e"), ("re", "d</w>"), ("c", "a"), ("ca", "t</w>")]
    vocab = {name: i for i, name in enumerate(names)}
    return transformers.CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=length)


def t5_tokenizer(length=24):
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁cat", -1.0)]
    pieces += [(c, -3.0) for c in string.ascii_lowercase]
    return transformers.T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=length)


def gemma_tokenizer():
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *string.ascii_lowercase]
    return transformers.GemmaTokenizer(vocab={name: i for i, name in enumerate(names)})


def glm_tokenizer():
    """Letter by letter; prompts are padded to the longest of their batch."""
    names = ["<pad>", "<unk>", *string.ascii_lowercase, " "]
    tokenizer = Tokenizer(BPE({name: i for i, name in enumerate(names)}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = Split("", "isolated")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=64
    )


def clip_encoder(projected=False):
    config = transformers.CLIPTextConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=WIDTH, projection_dim=WIDTH,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=16,
        bos_token_id=0, eos_token_id=1, pad_token_id=1, initializer_factor=8.0,
    )  # fmt: skip
    named = "CLIPTextModelWithProjection" if projected else "CLIPTextModel"
    return getattr(transformers, named)(config)


def t5_encoder(named="T5"):
    config = getattr(transformers, f"{named}Config")(
        vocab_size=64, d_model=WIDTH, d_kv=8, d_ff=WIDTH, num_layers=1, num_heads=2
    )
    return getattr(transformers, f"{named}EncoderModel")(config)


def gemma_encoder():
    config = transformers.Gemma2Config(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    return transformers.Gemma2Model(config)


def autoencoder(channels=4):
    return AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=channels, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        scaling_factor=0.5, shift_factor=0.1, sample_size=16,
    )  # fmt: skip


def unet(**more):
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=2,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), **more,
    )  # fmt: skip


def flow(**more):
    return FlowMatchEulerDiscreteScheduler(shift=3.0, **more)


def stable_diffusion():
    return StableDiffusionPipeline(
        vae=autoencoder(), text_encoder=clip_encoder(), tokenizer=clip_tokenizer(),
        unet=unet(cross_attention_dim=WIDTH),
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def stable_diffusion_xl():
    return StableDiffusionXLPipeline(
        vae=autoencoder(), text_encoder=clip_encoder(), tokenizer=clip_tokenizer(),
        text_encoder_2=clip_encoder(projected=True), tokenizer_2=clip_tokenizer(),
        unet=unet(
            cross_attention_dim=2 * WIDTH, addition_embed_type="text_time",
            addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        ),
        scheduler=EulerDiscreteScheduler(),
    )  # fmt: skip


def stable_diffusion_3(t5=True):
    return StableDiffusion3Pipeline(
        transformer=SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8,
            num_attention_heads=2, caption_projection_dim=WIDTH, joint_attention_dim=2 * WIDTH,
            pooled_projection_dim=2 * WIDTH, out_channels=4, pos_embed_max_size=8,
        ),
        scheduler=flow(), vae=autoencoder(),
        text_encoder=clip_encoder(projected=True), tokenizer=clip_tokenizer(),
        text_encoder_2=clip_encoder(projected=True), tokenizer_2=clip_tokenizer(),
        text_encoder_3=wide_t5() if t5 else None, tokenizer_3=t5_tokenizer() if t5 else None,
    )  # fmt: skip


def wide_t5():
    config = transformers.T5Config(
        vocab_size=64, d_model=2 * WIDTH, d_kv=8, d_ff=WIDTH, num_layers=1, num_heads=2
    )
    return transformers.T5EncoderModel(config)


def flux():
    return FluxPipeline(
        scheduler=flow(use_dynamic_shifting=True), vae=autoencoder(),
        text_encoder=clip_encoder(), tokenizer=clip_tokenizer(),
        text_encoder_2=t5_encoder(), tokenizer_2=t5_tokenizer(),
        transformer=FluxTransformer2DModel(
            in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8,
            num_attention_heads=2, joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH,
            guidance_embeds=True, axes_dims_rope=(2, 2, 4),
        ),
    )  # fmt: skip


def pixart():
    return PixArtAlphaPipeline(
        tokenizer=t5_tokenizer(), text_encoder=t5_encoder(), vae=autoencoder(),
        transformer=PixArtTransformer2DModel(
            sample_size=8, num_layers=1, patch_size=2, attention_head_dim=8, in_channels=4,
            num_attention_heads=2, cross_attention_dim=WIDTH, caption_channels=WIDTH,
            out_channels=8, use_additional_conditions=False,
        ),
        scheduler=DPMSolverMultistepScheduler(),
    )  # fmt: skip


def sana():
    return SanaPipeline(
        tokenizer=gemma_tokenizer(), text_encoder=gemma_encoder(),
        vae=AutoencoderDC(
            latent_channels=4, attention_head_dim=2, scaling_factor=0.5,
            encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8),
            encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1),
            encoder_block_types="ResBlock", decoder_block_types="ResBlock",
            encoder_qkv_multiscales=((), ()), decoder_qkv_multiscales=((), ()),
        ),
        transformer=SanaTransformer2DModel(
            sample_size=8, patch_size=1, in_channels=4, out_channels=4, num_layers=1,
            num_attention_heads=2, attention_head_dim=8, num_cross_attention_heads=2,
            cross_attention_head_dim=8, cross_attention_dim=WIDTH, caption_channels=WIDTH,
        ),
        scheduler=flow(),
    )  # fmt: skip


def dit():
    return DiTPipeline(
        transformer=DiTTransformer2DModel(
            sample_size=8, num_layers=1, patch_size=2, attention_head_dim=8, in_channels=4,
            num_attention_heads=2, out_channels=8, num_embeds_ada_norm=1000,
        ),
        vae=autoencoder(), scheduler=DDIMScheduler(),
    )  # fmt: skip


def cogview():
    encoder = transformers.GlmConfig(
        hidden_size=WIDTH, intermediate_size=WIDTH, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, vocab_size=64, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return CogView4Pipeline(
        tokenizer=glm_tokenizer(), text_encoder=transformers.GlmModel(encoder), vae=autoencoder(),
        transformer=CogView4Transformer2DModel(
            patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, out_channels=4,
            num_attention_heads=2, text_embed_dim=WIDTH, time_embed_dim=8, condition_dim=4,
        ),
        scheduler=flow(),
    )  # fmt: skip


def kandinsky():
    vision = transformers.CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=WIDTH, projection_dim=WIDTH, num_hidden_layers=1,
        num_attention_heads=2, image_size=16, patch_size=8,
    )  # fmt: skip
    return KandinskyV22CombinedPipeline(
        unet=UNet2DConditionModel(
            sample_size=8, out_channels=8, block_out_channels=(8, 16), layers_per_block=1,
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
            up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn", norm_num_groups=4,
            addition_embed_type="image", encoder_hid_dim_type="image_proj", encoder_hid_dim=WIDTH,
            cross_attention_dim=WIDTH, attention_head_dim=4, resnet_time_scale_shift="scale_shift",
        ),
        scheduler=DDIMScheduler(),
        movq=VQModel(
            block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4,
            norm_type="spatial", num_vq_embeddings=12, vq_embed_dim=4,
        ),
        prior_prior=PriorTransformer(
            num_attention_heads=2, attention_head_dim=8, num_layers=1, embedding_dim=WIDTH,
            num_embeddings=16,
        ),
        prior_image_encoder=transformers.CLIPVisionModelWithProjection(vision),
        prior_text_encoder=clip_encoder(projected=True), prior_tokenizer=clip_tokenizer(),
        prior_scheduler=UnCLIPScheduler(prediction_type="sample", clip_sample_range=5.0),
        prior_image_processor=transformers.CLIPImageProcessor(),
    )  # fmt: skip


SMALL = {"height": 16, "width": 16}
UNBINNED = {"height": 32, "width": 32, "use_resolution_binning": False}

FAMILIES = {
    "Stable Diffusion": (stable_diffusion, {"guidance_scale": 4.0}),
    "SDXL": (stable_diffusion_xl, {"guidance_scale": 4.0, "negative_prompt": "a red cat"}),
    "SD 3": (stable_diffusion_3, {"guidance_scale": 4.0, **SMALL}),
    "SD 3 without T5": (lambda: stable_diffusion_3(t5=False), {"guidance_scale": 4.0, **SMALL}),
    "Flux": (flux, {"true_cfg_scale": 2.0, "negative_prompt": "cat", **SMALL}),
    "PixArt": (pixart, {"guidance_scale": 4.0, **UNBINNED}),
    "Sana": (sana, {"guidance_scale": 4.0, "complex_human_instruction": None, **UNBINNED}),
    "DiT": (dit, {"guidance_scale": 4.0}),
    "CogView4": (cogview, {"guidance_scale": 3.0, "negative_prompt": "grey", **SMALL}),
    "Kandinsky 2.2": (
        kandinsky,
        {"guidance_scale": 2.0, "height": 32, "width": 32, "prior_num_inference_steps": 2},
    ),
}
"""By name: what makes the pipeline, and its `call_options`. The last two were tried last."""


def save(directory, name):
    """Write a family's pipeline, and return the directory."""
    torch.manual_seed(len(name))
    pipeline = FAMILIES[name][0]()
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            _strengthen(part)
    pipeline.save_pretrained(directory, safe_serialization=True)
    if name == "DiT":  # published ones have it, though nothing writes it
        index = json.loads((directory / "model_index.json").read_text())
        index["id2label"] = {"0": "tench", "207": "golden retriever, retriever"}
        (directory / "model_index.json").write_text(json.dumps(index))
    return directory


def _strengthen(part):
    """Random weights that let prompts and seeds through: those that are zero at first, too."""
    for name, value in part.named_parameters():
        if value.dim() > 1 or "scale_shift" in name or "gamma" in name:
            torch.nn.init.normal_(value, std=0.8 / max(1, value[0].numel()) ** 0.5)


PROMPTS = ["a red cat", "dog", "cat by cat by red cat", "a red cat"]
LABELS = [207, 1, "tench", 207]


def load(directory, settings=None, device="cpu"):
    """A pipeline as a worker loads it."""
    return loaded(directory, settings or PipelineSettings(), device)[0]
