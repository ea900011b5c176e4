"""What a chat template may not do. It is a program of its own: Jinja, rendered by the server for every request.

The server renders in the library's sandbox. What is refused here never reaches it: every published escape from such
a sandbox went through a private attribute of Python, and a template that only joins messages needs none.
"""

import re
from collections.abc import Iterator

from mmm_repository.errors import UnsafeArtifact
from mmm_repository.paths import shown

MAX_TEMPLATE_CHARS = 256 * 1024
TEMPLATE_KEY = "chat_template"

# Each pattern takes time in proportion to the text, however the text was made up.
REFUSED = (
    (re.compile(r"__[a-z]+__"), "reaches for Python's internals"),
    (re.compile(r"['\"]_+['\"]\s*[~+*%|]|[~+]\s*['\"]_+['\"]"), "puts names together out of underscores"),
    (re.compile(r"\w\._\w|\[\s*['\"]_\w"), "reads a private attribute"),
    (re.compile(r"\|\s*attr\b"), "reads attributes by a name that is made up while it runs"),
    (re.compile(r"\\(?:x5f|u005f|U0000005f|137|N\{)", re.IGNORECASE), "hides underscores behind escapes"),
    (re.compile(r"\{%[-+]?\s*(?:include|import|extends|from)\b"), "loads another template"),
    (
        re.compile(r"\*\s*\d{5}|\d{5}\s*\*|\*\*|\brange\(\s*\d{5}"),
        "repeats something more often than a prompt can",
    ),
)


def check_template(text: str, path: str) -> None:
    """Raise UnsafeArtifact for a template that does more than join messages."""
    if len(text) > MAX_TEMPLATE_CHARS:
        raise UnsafeArtifact(
            f"The chat template in {shown(path)} is longer than {MAX_TEMPLATE_CHARS} characters. Shorten it."
        )
    for pattern, fault in REFUSED:
        found = pattern.search(text)
        if found:
            raise UnsafeArtifact(
                f"The chat template in {shown(path)} {fault} ({shown(found[0])}), which no prompt needs. Remove that."
            )


def templates_in(value: object) -> Iterator[str]:
    """The templates in the value of `chat_template`: one text, or several with their names."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, str):
            yield current
        elif isinstance(current, dict):
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)
