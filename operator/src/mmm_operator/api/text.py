"""Words of others, made fit for a status."""

import re

_PASSWORD = re.compile(r"//[^/\s@]{1,256}@")


def one_line(text: str, limit: int) -> str:
    """`text` as one printable line of at most `limit` bytes, without the password that a URL may carry.

    Cut by bytes, since that is what the API server and etcd count. Half a surrogate pair, which JSON can hold, would
    come back as something else and make the status differ for ever.
    """
    if len(text) <= limit and text.isascii() and text.isprintable() and "//" not in text:
        return " ".join(text.split())  # as nearly all are: each look at an object asks a dozen times
    printable = "".join(letter if letter.isprintable() else " " for letter in text[: 2 * limit])
    line = _PASSWORD.sub("//", " ".join(printable.split())).encode()
    return line.decode() if len(line) <= limit else line[: limit - 3].decode(errors="ignore") + "…"
