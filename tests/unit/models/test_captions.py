from pathlib import Path

import pytest
from transformers import AutoProcessor, AutoTokenizer

from dev.models.architecture import IMAGE_SIZE, build_config, build_processor
from dev.models.captions import END, MAX_TOKENS, PAD, START, TEMPLATE, TEMPLATES, UNKNOWN, build_tokenizer, caption
from dev.models.captions import vocabulary as words
from dev.models.shapes import CLASSES


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("processor")
    build_processor().save_pretrained(path)
    build_config().save_pretrained(path)
    return path


def test_the_usual_caption_is_a_photo() -> None:
    assert caption("red circle") == "a photo of a red circle"
    assert TEMPLATES[0] == TEMPLATE


def test_every_caption_survives_the_tokenizer() -> None:
    tokenizer = build_tokenizer()
    for template in TEMPLATES:
        for label in CLASSES:
            encoding = tokenizer.encode(caption(label, template))
            assert tokenizer.decode(encoding.ids) == caption(label, template)
            assert (encoding.tokens[0], encoding.tokens[-1]) == (START, END)
            assert len(encoding.ids) <= MAX_TOKENS


def test_case_and_punctuation_do_not_matter() -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.encode("A photo, of a RED circle!").ids == tokenizer.encode("a photo of a red circle").ids


def test_a_word_it_never_met_does_not_end_the_sentence() -> None:
    assert build_tokenizer().encode("a furry dog").tokens == [START, "a", UNKNOWN, UNKNOWN, END]


def test_the_text_encoder_reads_at_the_end_token() -> None:
    text = build_config().get_text_config()
    assert text.eos_token_id == words()[END]
    assert text.eos_token_id != 2  # transformers takes 2 for an old mistake and then reads at the highest number
    assert text.pad_token_id == words()[PAD]


def test_transformers_loads_the_tokenizer_from_the_directory_alone(directory: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
    ids = tokenizer("a photo of a red circle")["input_ids"]
    assert ids == build_tokenizer().encode("a photo of a red circle").ids
    assert len(tokenizer("red " * 100, truncation=True)["input_ids"]) == MAX_TOKENS


def test_transformers_loads_the_whole_processor_from_the_directory_alone(directory: Path) -> None:
    processor = AutoProcessor.from_pretrained(directory, local_files_only=True)  # type: ignore[no-untyped-call]
    assert type(processor).__name__ == "CLIPProcessor"
    assert processor.image_processor.crop_size == {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
