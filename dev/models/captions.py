"""Sentences about the pictures, and the tokenizer that knows their words."""

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from dev.models.shapes import CLASSES

TEMPLATE = "a photo of a {}"
TEMPLATES: tuple[str, ...] = (
    TEMPLATE,
    "{}",
    "a {}",
    "a picture of a {}",
    "an image of one {}",
    "a drawing of a {}",
    "this is a {}",
    "there is a {} in the picture",
    "a small {}",
    "a large {}",
)
START, END, PAD, UNKNOWN = "<|startoftext|>", "<|endoftext|>", "<|pad|>", "<|unknown|>"
SPECIAL = (PAD, UNKNOWN, START, END)
MAX_TOKENS = 16


def caption(label: str, template: str = TEMPLATE) -> str:
    """Give the sentence about a class, "a photo of a red circle" unless told otherwise."""
    return template.format(label)


def vocabulary() -> dict[str, int]:
    """Give every word that a caption can hold, numbered in alphabetical order after the special tokens."""
    words = {word for template in TEMPLATES for label in CLASSES for word in caption(label, template).split()}
    return {word: number for number, word in enumerate((*SPECIAL, *sorted(words)))}


def build_tokenizer() -> Tokenizer:
    """Give a word tokenizer: lower case, punctuation dropped, wrapped in start and end.

    Unknown words have a token of their own: where they became the end token, as in the original CLIP, the
    text encoder would stop reading at the first of them.
    """
    words = vocabulary()
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation(behavior="removed")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, words[START]), (END, words[END])]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer
