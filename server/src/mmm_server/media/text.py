"""Texts of a client, checked before a tokenizer sees them."""

from mmm_server.errors import Unprocessable


def check_text(text: str, max_chars: int) -> str:
    """The same text; Unprocessable if it is blank, too long or no Unicode text."""
    if len(text) > max_chars:
        raise Unprocessable(f"A text has {len(text)} characters, the limit is {max_chars}.")
    if not text.strip():
        raise Unprocessable("A text is empty.")
    if "\x00" in text:
        raise Unprocessable("A text contains a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unprocessable("A text contains half of a surrogate pair.") from None
    return text
