"""The tiny CLIP: the real architecture with small numbers, and its directory in Hugging Face layout."""

from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, PreTrainedTokenizerFast

from dev.models.captions import END, MAX_TOKENS, PAD, START, UNKNOWN, build_tokenizer, vocabulary

IMAGE_SIZE = 48
PATCH_SIZE = 8
PROJECTION = 48
WAVE_HEIGHT = 0.8


def build_config() -> CLIPConfig:
    """Give the configuration of a model of about 200,000 parameters."""
    words = vocabulary()
    text = {
        "vocab_size": len(words),
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "max_position_embeddings": MAX_TOKENS,
        "projection_dim": PROJECTION,
        "pad_token_id": words[PAD],
        "bos_token_id": words[START],
        "eos_token_id": words[END],
    }
    vision = {
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
        "projection_dim": PROJECTION,
    }
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=PROJECTION)


def build_model(seed: int) -> CLIPModel:
    """Give an untrained model whose weights follow from the seed."""
    torch.manual_seed(seed)
    model = CLIPModel(build_config())
    embeddings = model.vision_model.embeddings
    with torch.no_grad():
        embeddings.position_embedding.weight[1:] = _waves(embeddings.embed_dim)
    return model


def build_processor() -> CLIPProcessor:
    """Give the processor: pictures to the model's size and statistics, sentences to padded tokens."""
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=build_tokenizer(),
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        unk_token=UNKNOWN,
        model_max_length=MAX_TOKENS,
    )
    images = CLIPImageProcessorPil(
        size={"shortest_edge": IMAGE_SIZE}, crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    )
    return CLIPProcessor(images, tokenizer)  # type: ignore[no-untyped-call]


def save(model: CLIPModel, directory: Path) -> None:
    """Write a loadable model directory: configuration, safetensors weights, tokenizer, processor."""
    model.save_pretrained(directory)
    build_processor().save_pretrained(directory)


def _waves(width: int) -> torch.Tensor:
    """Give sines and cosines of each patch's place as (patches, width).

    Starting from them instead of noise, the model knows at once which patches are neighbours; learning shapes
    takes half the steps. They stay ordinary weights.
    """
    side = IMAGE_SIZE // PATCH_SIZE
    down, across = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    frequencies = 100.0 ** -(torch.arange(width // 4) / (width // 4))
    turns = [place.flatten()[:, None] * frequencies for place in (across, down)]
    return torch.cat([wave(turn) for turn in turns for wave in (torch.sin, torch.cos)], dim=1) * WAVE_HEIGHT
