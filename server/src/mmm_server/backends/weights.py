"""Reading a model directory with transformers: weights, image processor and tokenizer, offline and without code."""

import logging
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when transformers is imported

import torch

from mmm_server.errors import ModelLoadFailed

log = logging.getLogger(__name__)


def load_weights(directory: Path, architecture: str, dtype: torch.dtype) -> Any:
    """The model on the processor, ready to compute; ModelLoadFailed if the files do not make one."""
    model_class = _model_class(architecture)
    try:
        model, report = model_class.from_pretrained(
            directory, local_files_only=True, use_safetensors=True, output_loading_info=True, dtype=dtype
        )
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        log.debug("loading failed", exc_info=True)
        raise ModelLoadFailed(
            f"The weights and config.json do not make a {architecture} ({type(error).__name__})."
        ) from None
    lacking = sorted({*report["missing_keys"], *(str(key) for key in report["mismatched_keys"])})
    if lacking:
        # transformers would fill them with random numbers and serve nonsense.
        raise ModelLoadFailed(
            f"The weights lack {len(lacking)} tensors of a {architecture}, the first is {lacking[0]}."
        )
    return model.eval()


def load_processors(directory: Path) -> tuple[Any, Any]:
    """(image processor, tokenizer) of the directory; ModelLoadFailed if one cannot be loaded."""
    from transformers import AutoImageProcessor, AutoTokenizer

    try:
        options = {"local_files_only": True, "trust_remote_code": False}
        processor = AutoImageProcessor.from_pretrained(directory, **options)  # type: ignore[no-untyped-call]
        tokenizer = AutoTokenizer.from_pretrained(directory, **options)
    except Exception as error:
        log.debug("loading failed", exc_info=True)
        raise ModelLoadFailed(f"The tokenizer or image processor cannot be loaded ({type(error).__name__}).") from None
    return processor, tokenizer


def _model_class(architecture: str) -> Any:
    # Imported from where they are defined: the package's front door would load far more.
    from transformers.utils import logging as hf_logging

    hf_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    hf_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if architecture == "SiglipModel":
        from transformers.models.siglip.modeling_siglip import SiglipModel

        return SiglipModel
    from transformers.models.clip.modeling_clip import CLIPModel

    return CLIPModel
