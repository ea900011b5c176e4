"""What a model version may not contain: everything that runs, or that lies about itself.

Names are refused before a byte is downloaded, contents as soon as a file is complete. The loader never sees
a file that this module refuses; it has its own switches against remote code besides.
"""

import re
from pathlib import Path, PurePosixPath

from mmm_repository.configs import check_json
from mmm_repository.errors import UnsafeArtifact
from mmm_repository.paths import shown
from mmm_repository.safetensors import check_safetensors
from mmm_repository.templates import MAX_TEMPLATE_CHARS, check_template

PICKLES = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill", ".npy", ".npz", ".mar"})
# What models are made of. A file of any other kind is not needed to serve, and nobody here knows what it can do.
WEIGHTS = frozenset({".safetensors"})
SETTINGS = frozenset({".json", ".jsonl", ".jinja", ".yaml", ".yml", ".txt", ".tsv", ".csv"})
VOCABULARIES = frozenset({".model", ".vocab", ".bpe", ".spm", ".tiktoken", ".merges", ".codes"})
WORDS = frozenset({"", ".md", ".rst", ".license", ".cff", ".pdf"})
MEDIA = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".wav", ".mp3", ".flac", ".ogg", ".mp4", ".webm"})
KNOWN = WEIGHTS | SETTINGS | VOCABULARIES | WORDS | MEDIA

CODE = frozenset({".py", ".pyc", ".pyd", ".pyw", ".ipynb", ".so", ".dll", ".dylib", ".exe", ".sh", ".js", ".wasm"})
CODE |= {".h5", ".hdf5", ".keras", ".pb", ".jar", ".class", ".whl", ".egg", ".lua", ".ps1", ".bat"}
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".lz4", ".cab", ".iso"})

PICKLE_ADVICE = "it can run code when it is loaded. Save the weights as safetensors"
CODE_ADVICE = "it can run code. Models are configured here, never programmed"
ARCHIVE_ADVICE = "archives are not unpacked. Publish the files themselves"

# What a renamed file still begins with. A text or media file never does.
SIGNATURES = (
    (re.compile(rb"\x80[\x02-\x05]"), "a pickle"),
    (re.compile(rb"PK(\x03\x04|\x05\x06)"), "a zip archive, or weights that torch.save wrote"),
    (re.compile(rb"\x1f\x8b|BZh[1-9]1AY|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|7z\xbc\xaf\x27\x1c|Rar!"), "an archive"),
    (re.compile(rb".{257}ustar", re.DOTALL), "a tar archive"),
    (re.compile(rb"\x7fELF|MZ\x90|#!|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe"), "a program"),
    (re.compile(rb"\x89HDF"), "an HDF5 file, whose layers may hold code"),
)
HEAD_BYTES = 262


def check_name(path: str) -> None:
    """Raise UnsafeArtifact for a file whose name alone says that it is not what models are made of."""
    suffix = PurePosixPath(path).suffix.lower()
    for suffixes, kind, advice in (
        (PICKLES, "a pickle", PICKLE_ADVICE),
        (CODE, "code", CODE_ADVICE),
        (ARCHIVES, "an archive", ARCHIVE_ADVICE),
    ):
        if suffix in suffixes:
            raise UnsafeArtifact(f"The file {shown(path)} is {kind}: {advice}.")
    if suffix not in KNOWN and not is_versioned_word(path):
        raise UnsafeArtifact(
            f"The file {shown(path)} is of a kind that no model needs ({shown(suffix)}). Leave it out of the version."
        )


def is_versioned_word(path: str) -> bool:
    """Whether what follows the last dot is no ending but the rest of a number or a date, as in LICENSE-2.0."""
    return PurePosixPath(path).suffix[1:].isdigit()


def check_file(root: Path, path: str) -> None:
    """Raise UnsafeArtifact unless the file at `root/path` may be loaded. Reads headers, and configs whole."""
    check_name(path)
    location = root / path
    kind = PurePosixPath(path).suffix.lower()
    if kind == ".safetensors":
        check_safetensors(location, path)
        return
    check_signature(location, path)
    if kind == ".json":
        check_json(location, path)
    elif kind == ".jinja":
        check_template_file(location, path)


def check_template_file(location: Path, path: str) -> None:
    """Raise UnsafeArtifact for a template in a file of its own that does more than join messages."""
    # A character takes up to four bytes; one byte more tells a longer file from one that just fits.
    with location.open("rb") as file:
        content = file.read(4 * MAX_TEMPLATE_CHARS + 1)
    try:
        check_template(content.decode("utf-8"), path)
    except UnicodeDecodeError:
        raise UnsafeArtifact(f"The chat template in {shown(path)} is not UTF-8. Save it again.") from None


def check_signature(location: Path, path: str) -> None:
    """Raise UnsafeArtifact for a pickle, an archive or a program under another name."""
    with location.open("rb") as file:
        head = file.read(HEAD_BYTES)
    for signature, kind in SIGNATURES:
        if signature.match(head):
            raise UnsafeArtifact(f"The file {shown(path)} is {kind} under another name.")
