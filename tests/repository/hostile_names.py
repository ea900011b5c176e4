"""More than three hundred file names that no version may have, each with the words of its refusal, and good ones."""

import itertools
from collections.abc import Iterator

from mmm_repository.paths import MAX_COMPONENT_BYTES

COMPONENT = "has the component"
HIDDEN = "has a hidden component"
CHARACTER = "holds the character"
UNPRINTABLE = "holds characters that cannot be printed"
EMPTY = "has an empty component"
EDGES = "has a component that begins or ends with a space or ends with a dot"
LONG = "has a component longer than 255 bytes"
LONGER = "is longer than 768 bytes"
FORM = "is not in Unicode normal form C"
RESERVED = "is the manifest's own name"

TARGETS = ("etc/passwd", "root/.ssh/authorized_keys", "x.json", "models/config.json", "proc/self/environ")
FRAMES = ("{}", "{}/config.json", "weights/{}", "weights/{}/config.json")
GOOD = (
    *("config.json", "model-00001-of-00002.safetensors", "a/b/c/d/e/f/g.json", "tokenizer (1).json", "模型/说明.md"),
    *("a..b", "~root", "$HOME", "-rf", "a;b", "a&b", "`id`", "$(id)", "a'b", "été.json", "Straße.txt"),
    *("con", "NUL.txt", "a" * MAX_COMPONENT_BYTES, "/".join(["a" * 150] * 5), "🙂.txt", "v1.2+build.json", "manifest"),
    *("sub/manifest.json", "manifest.json.md", "x" * 100 + ".json", "[a].txt", "{a}.txt", "a,b", "a=b", "a@b", "#a"),
)


def hostile_names() -> list[tuple[str, str]]:
    """Every name once, with the words that its refusal holds."""
    return list(dict(pair for family in FAMILIES for pair in family()).items())


def climbing() -> Iterator[tuple[str, str]]:
    """Names that lead up, as deep and as disguised as they come."""
    for depth in range(1, 9):
        for target in TARGETS:
            yield "../" * depth + target, COMPONENT
    for middle in ("..", "."):
        for frame in FRAMES:
            yield frame.format(middle), COMPONENT
        for count in range(1, 5):
            yield f"a/{middle}/" * count + "x", COMPONENT
    for dots in ("...", "....", ". .", ".. ", " .."):
        for frame in FRAMES:
            yield frame.format(dots), EDGES if dots.startswith(" ") else HIDDEN


def absolute() -> Iterator[tuple[str, str]]:
    """Names that begin at a root of some system."""
    for target in TARGETS:
        yield f"/{target}", "is absolute"
        yield f"//{target}", "is absolute"
        yield f"file:///{target}", CHARACTER
        for drive in ("C:", "c:", "Z:", "\\\\?\\C:"):
            yield f"{drive}/{target}", CHARACTER
            yield f"{drive}\\{target.replace('/', chr(92))}", CHARACTER
        yield f"\\\\server\\share\\{target}", CHARACTER


def encoded() -> Iterator[tuple[str, str]]:
    """Names that some reader may decode into others."""
    slashes = ("%2f", "%2F", "%5c", "%252f", "%c0%af", "%u2215")
    for slash in slashes:
        for depth in (1, 3):
            yield f"..{slash}" * depth + "etc", HIDDEN
    for code in ("%00", "%2e%2e", "%0a", "%25", "%", "a%20b", "%ff"):
        for frame in FRAMES:
            yield frame.format(code), CHARACTER


def unprintable() -> Iterator[tuple[str, str]]:
    """Control characters, separators, marks of direction and of nothing."""
    controls = [chr(code) for code in (*range(0x20), 0x7F, *range(0x80, 0xA0))]
    marks = [
        "\u00ad",
        "\u200b",
        "\u200e",
        "\u202a",
        "\u202e",
        "\u2028",
        "\u2029",
        "\u2066",
        "\ufeff",
        "\ue000",
        "\ud800",
    ]
    for mark in (*controls, *marks):
        yield f"a{mark}b.json", UNPRINTABLE
    for mark in ("\0", "\n", "\u202e"):
        for frame in FRAMES:
            yield frame.format(f"x{mark}"), UNPRINTABLE


def shapes() -> Iterator[tuple[str, str]]:
    """Empty, hidden, edged with blanks or dots, too long."""
    yield "", "is empty"
    for path in ("a//b", "a/", "a/b/", "a///b", "x//", "a/b//c/d"):
        yield path, EMPTY
    for name in (".complete", ".git", ".env", ".ssh", ".partial-00", ".lock-00", ".progress.json", ".removed-1"):
        for frame in FRAMES:
            yield frame.format(name), HIDDEN
    for name, frame in itertools.product((" a", "a ", "a.", "a..", "a. "), FRAMES):
        yield frame.format(name), EDGES
    for name, frame in itertools.product(("a" * 256, "é" * 128, "模" * 86, "🙂" * 64), FRAMES):
        yield frame.format(name), LONG
    for path in ("/".join(["a" * 200] * 4), "a/" * 400 + "a", "/".join(["模" * 60] * 5)):
        yield path, LONGER


def streams() -> Iterator[tuple[str, str]]:
    """Characters that mean something to other file systems or shells of theirs."""
    for name in ("a:b", "a::$DATA", "a*", "a?", 'a"b', "a<b", "a>b", "a|b", "\\a", "a\\b", "a\\..\\b"):
        for frame in FRAMES:
            yield frame.format(name), CHARACTER


def unicode_forms() -> Iterator[tuple[str, str]]:
    """Names that a file system may write differently."""
    for name in ("e\u0301.json", "A\u030a", "\u1100\u1161", "\u212b", "\u2126", "n\u0303o", "\u0958", "\ufb1d"):
        for frame in FRAMES:
            yield frame.format(name), FORM


def reserved() -> Iterator[tuple[str, str]]:
    """The manifest itself, in any case."""
    for name in ("manifest.json", "Manifest.json", "MANIFEST.JSON", "manifest.JSON", "mAnIfEsT.jSoN"):
        yield name, RESERVED


FAMILIES = (climbing, absolute, encoded, unprintable, shapes, streams, unicode_forms, reserved)

COLLISIONS = (
    *(("config.json", "Config.json"), ("a/b.json", "A/b.json"), ("straße.txt", "STRASSE.TXT"), ("é.txt", "É.txt")),
    *(("ς.txt", "Σ.txt"), ("ﬁ.txt", "fi.txt"), ("K.txt", "k.txt"), ("same.json", "same.json")),
)
"""Pairs of names that mean one file on some file system."""
INSIDE_EACH_OTHER = (("a", "a/b.json"), ("A", "a/b.json"), ("x/y", "x/y/z/w.txt"))
"""Pairs of which one would have to be a file and a directory."""
