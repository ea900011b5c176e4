"""What one gets without a server: decode, Hugging Face's processor, forward, one picture after the other."""

import itertools
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from dev.models import CLASSES


def main() -> None:
    """Print pictures a second."""
    model_directory, seconds, *pictures = sys.argv[1:]
    model = CLIPModel.from_pretrained(model_directory, local_files_only=True)
    processor = CLIPProcessor.from_pretrained(model_directory, local_files_only=True)
    texts = [f"a photo of a {name}" for name in CLASSES]
    until, count = 0.0, 0
    with torch.inference_mode():
        for warm, picture in enumerate(itertools.cycle(map(Path, pictures))):
            if warm == 10:
                until, count = time.monotonic() + float(seconds), 0
            inputs = processor(text=texts, images=Image.open(picture), return_tensors="pt", padding=True)
            model(**inputs).logits_per_image.softmax(dim=-1)
            count += 1
            if until and time.monotonic() > until:
                break
    print(count / float(seconds))


if __name__ == "__main__":
    main()
