"""What the reference library says of the pictures and texts of these tests.

Run by the Python that serves, as the environment of the clients holds no torch:
`python -m tests.conformance.reference DIRECTORY` makes a tiny CLIP there and prints its vectors as JSON.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.conformance.samples import PICTURES, TEXTS


def main(directory: Path) -> None:
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    from tests.server.models import write_clip

    write_clip(directory)
    model: Any = AutoModel.from_pretrained(directory, dtype=torch.float32).eval()
    processor: Any = AutoImageProcessor.from_pretrained(directory)  # type: ignore[no-untyped-call]
    tokens = AutoTokenizer.from_pretrained(directory)(TEXTS, return_tensors="pt", padding=True)
    pixels = processor(PICTURES, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        output = model(pixel_values=pixels, **tokens)
    found = {
        "image_embeds": torch.nn.functional.normalize(output.image_embeds, dim=-1).tolist(),
        "text_embeds": torch.nn.functional.normalize(output.text_embeds, dim=-1).tolist(),
        "probabilities": output.logits_per_image.softmax(dim=-1).tolist(),
        "tokens": int(tokens["attention_mask"].sum()),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
