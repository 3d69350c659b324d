"""The models of the zoo that other packages build, small and with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from zoo_torch import ZooModel

Batch = Callable[[], Any]


def _transformer(
    model: str, config: str, *, dtype: torch.dtype | None = None, **settings: Any
) -> Callable[[], nn.Module]:
    """Return a function that builds a model of transformers.

    Args:
        model: the class of the model.
        config: the class of its configuration.
        dtype: the dtype of the weights, with activation checkpointing; None for float32 without it.
        settings: arguments of the configuration.
    """

    def build() -> nn.Module:
        import transformers

        built = getattr(transformers, model)(getattr(transformers, config)(**settings))
        if dtype is not None:
            built.to(dtype).gradient_checkpointing_enable({"use_reentrant": False})
        return built

    return build


def _tokens(**more: Any) -> Batch:
    def batch() -> dict[str, Any]:
        ids = torch.randint(3, 90, (2, 12))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)} | more

    return batch


def _pixels(size: int) -> Batch:
    return lambda: {"pixel_values": torch.randn(2, 3, size, size)}


def _clip() -> nn.Module:
    from transformers import CLIPConfig, CLIPModel

    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    text = small | {"num_attention_heads": 2, "vocab_size": 99, "eos_token_id": 98}
    vision = small | {"num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))


def _rt_detr() -> nn.Module:
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrResNetConfig

    backbone = RTDetrResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1],
        layer_type="basic", out_features=["stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = RTDetrConfig(
        backbone_config=backbone, encoder_hidden_dim=16, encoder_in_channels=[16, 16, 16],
        encoder_ffn_dim=32, encoder_attention_heads=2, d_model=16, num_queries=10,
        decoder_in_channels=[16, 16, 16], decoder_ffn_dim=32, decoder_attention_heads=2,
        decoder_layers=2, num_denoising=0, num_labels=3,
    )  # fmt: skip
    model = RTDetrForObjectDetection(config)
    for parameter in model.parameters():
        if parameter.dim() > 1 and not parameter.any():  # Nothing before it would be trained.
            nn.init.normal_(parameter, std=0.1)
    return model


def _call_rt_detr(model: nn.Module, batch: Any) -> Any:
    if not model.training:
        return model(**batch)
    boxes = torch.tensor([[0.4, 0.4, 0.3, 0.3], [0.6, 0.5, 0.4, 0.2]])
    labels = {"class_labels": torch.tensor([0, 1]), "boxes": boxes}
    return model(**batch, labels=[labels, labels])


_BERT = {
    "vocab_size": 100,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
_LLAMA = _BERT | {"num_key_value_heads": 2, "max_position_embeddings": 32}
_MOE = _LLAMA | {
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "num_experts": 4,
    "num_experts_per_tok": 2,
}
_WHISPER = {
    "vocab_size": 100, "d_model": 16, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32, "num_mel_bins": 8, "max_source_positions": 10,
    "max_target_positions": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
    "decoder_start_token_id": 1,
}  # fmt: skip
_WAV2VEC = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": (8, 8), "conv_stride": (5, 2), "conv_kernel": (10, 3), "vocab_size": 30,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 2,
    "mask_time_prob": 0.0, "layerdrop": 0.0,
}  # fmt: skip
_VIT = {key: _BERT[key] for key in list(_BERT)[1:]} | {"image_size": 32, "patch_size": 8}
_SWIN = {
    "image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2],
    "window_size": 4,
}  # fmt: skip
_T5 = {
    "vocab_size": 100, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2,
    "feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0,
}  # fmt: skip
_GPT2 = {"vocab_size": 100, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2}
_CONVNEXT = {"hidden_sizes": [8, 16], "depths": [2, 2], "num_stages": 2}


def _hf(name: str, build: Callable[[], nn.Module], batch: Batch, **more: Any) -> ZooModel:
    return ZooModel(name, "transformers", build, batch, **more)


TRANSFORMERS = [
    _hf("BERT", _transformer("BertForMaskedLM", "BertConfig", **_BERT), _tokens(), compiled=True),
    _hf("GPT-2", _transformer("GPT2LMHeadModel", "GPT2Config", **_GPT2), _tokens(use_cache=False)),
    _hf(
        "Llama, bfloat16, checkpointed",
        _transformer("LlamaForCausalLM", "LlamaConfig", dtype=torch.bfloat16, **_LLAMA),
        _tokens(use_cache=False),
    ),
    _hf(
        "Qwen2-MoE, bfloat16, checkpointed",
        _transformer("Qwen2MoeForCausalLM", "Qwen2MoeConfig", dtype=torch.bfloat16, **_MOE),
        _tokens(use_cache=False),
    ),
    _hf(
        "T5, gated",
        _transformer("T5ForConditionalGeneration", "T5Config", **_T5),
        lambda: _tokens()() | {"decoder_input_ids": torch.randint(3, 90, (2, 5))},
    ),
    _hf("ViT", _transformer("ViTForImageClassification", "ViTConfig", **_VIT), _pixels(32)),
    _hf("Swin", _transformer("SwinForImageClassification", "SwinConfig", **_SWIN), _pixels(32)),
    _hf(
        "ConvNeXt",
        _transformer("ConvNextForImageClassification", "ConvNextConfig", **_CONVNEXT),
        _pixels(32),
    ),
    _hf(
        "Whisper",
        _transformer("WhisperForConditionalGeneration", "WhisperConfig", **_WHISPER),
        lambda: {
            "input_features": torch.randn(2, 8, 20),
            "decoder_input_ids": torch.randint(3, 90, (2, 5)),
        },
    ),
    _hf("CLIP", _clip, lambda: _tokens()() | _pixels(32)()),
    _hf(
        "wav2vec2",
        _transformer("Wav2Vec2ForCTC", "Wav2Vec2Config", **_WAV2VEC),
        lambda: {"input_values": torch.randn(2, 800)},
    ),
    _hf("RT-DETR", _rt_detr, _pixels(64), call=_call_rt_detr),
]


def _unet() -> nn.Module:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, cross_attention_dim=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), attention_head_dim=4,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=1,
    )  # fmt: skip


def _unet_batch() -> dict[str, Any]:
    steps, text = torch.tensor([10, 20]), torch.randn(2, 6, 8)
    sample = torch.randn(2, 4, 8, 8)
    return {"sample": sample, "timestep": steps, "encoder_hidden_states": text}


def _vae() -> nn.Module:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 16), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip


def _yolo(config: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from ultralytics.cfg import get_cfg
        from ultralytics.nn.tasks import DetectionModel

        model = DetectionModel(config, verbose=False)
        model.args = get_cfg()
        return model

    return build


def _yolo_batch() -> tuple[dict[str, torch.Tensor]]:
    # The third object is so small that only an output of the coarsest grid lies in it.
    boxes = [[0.4, 0.4, 0.3, 0.3], [0.6, 0.5, 0.4, 0.2], [0.25, 0.25, 0.05, 0.05]]
    targets = {"cls": torch.tensor([[1.0], [2.0], [0.0]]), "bboxes": torch.tensor(boxes)}
    places = {"batch_idx": torch.tensor([0.0, 1.0, 1.0])}
    return ({"img": torch.rand(2, 3, 64, 64)} | places | targets,)


def _call_yolo(model: nn.Module, batch: Any) -> Any:
    return model(batch[0]) if model.training else model(batch[0]["img"])


def _segmentation(name: str, encoder: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import segmentation_models_pytorch

        return getattr(segmentation_models_pytorch, name)(encoder, encoder_weights=None, classes=2)

    return build


def _graph_network(name: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torch_geometric import nn as graph_nn

        return getattr(graph_nn, name)(
            5, 8, 2, out_channels=3, act="elu" if name == "GAT" else "relu"
        )

    return build


def _graph() -> dict[str, torch.Tensor]:
    return {"x": torch.randn(10, 5), "edge_index": torch.randint(10, (2, 30))}


def _images() -> tuple[torch.Tensor]:
    return (torch.rand(2, 3, 64, 64),)


OTHERS = [
    ZooModel("UNet, conditioned", "diffusers", _unet, _unet_batch),
    ZooModel("VAE", "diffusers", _vae, lambda: (torch.randn(2, 3, 16, 16),)),
    ZooModel("YOLOv8", "ultralytics", _yolo("yolov8n.yaml"), _yolo_batch, _call_yolo),
    ZooModel("YOLO11", "ultralytics", _yolo("yolo11n.yaml"), _yolo_batch, _call_yolo),
    ZooModel("U-Net", "segmentation_models_pytorch", _segmentation("Unet", "resnet18"), _images),
    ZooModel(
        "SegFormer", "segmentation_models_pytorch", _segmentation("Segformer", "mit_b0"), _images
    ),
    ZooModel("GCN", "torch_geometric", _graph_network("GCN"), _graph),
    ZooModel("GAT", "torch_geometric", _graph_network("GAT"), _graph),
]
