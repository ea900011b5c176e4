"""A tiny CLIP trained here on synthetic coloured shapes: the model of the demo and of the tests.

`ensure_models()` gives a directory with `clip/1` (under-trained: right about one time in three) and `clip/2`
(trained), `ensure_heldout(n)` gives labelled JPEGs that training never saw. Both are made once and cached.
"""

from dev.models.cache import ensure_heldout, ensure_models
from dev.models.captions import TEMPLATE
from dev.models.heldout import Sample
from dev.models.shapes import CLASSES

__all__ = ["CLASSES", "TEMPLATE", "Sample", "ensure_heldout", "ensure_models"]
