"""Which variables nobody may set in a server pod, and what to do instead.

A variable can make a process load code, trust another certificate, see another GPU or reach another place. What the
API has a field for goes there; what only serves to change the server belongs into an image. One table, so that
the API server's rule and the operator's own check, for objects that were stored before the rule, never part.
"""

from typing import Any, NamedTuple

from mmm_operator.api.base import cel


class Refusal(NamedTuple):
    """Names that are refused, and what to do instead."""

    prefixes: tuple[str, ...]
    names: tuple[str, ...]
    instead: str

    def matches(self, name: str) -> bool:
        """Whether the variable `name` is refused."""
        return name in self.names or name.startswith(self.prefixes)

    def rule(self) -> tuple[str, str]:
        """The same as a CEL rule, with its message."""
        prefixes = ", ".join(f"'{prefix}'" for prefix in self.prefixes)
        names = ", ".join(f"'{name}'" for name in self.names)
        parts = [f"[{prefixes}].exists(prefix, self.startsWith(prefix))"] if prefixes else []
        parts += [f"self in [{names}]"] if names else []
        return f"!({' || '.join(parts)})", self.message

    @property
    def message(self) -> str:
        """The sentence for whoever wrote such a name."""
        words = [*(f"{prefix}*" for prefix in self.prefixes), *self.names]
        return f"{', '.join(words)}: {self.instead}"


REFUSED = (
    Refusal(("MMM_",), (), "these belong to the operator: use the fields of spec.runtime"),
    Refusal(
        ("LD_", "GLIBC_", "GCONV_", "DYLD_"),
        ("LOCPATH", "NLSPATH"),
        "these make programs load other code: remove them, and use an image that holds what is needed",
    ),
    Refusal(
        ("PYTHON",),
        ("VIRTUAL_ENV",),
        "these make the server load other code: remove them, and use an image that holds what is needed",
    ),
    Refusal(
        ("NVIDIA_", "CUDA_", "HIP_", "ROCR_", "ROCM_", "HSA_", "ZE_"),
        ("GPU_DEVICE_ORDINAL",),
        "the device plug-in decides what a pod sees: use spec.accelerator",
    ),
    Refusal(
        ("HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TORCH_", "TORCHINDUCTOR_", "TRITON_"),
        ("XDG_CACHE_HOME",),
        "the server reads its model from the volume alone, and writes no code: remove them, and use spec.model",
    ),
    Refusal(("AWS_",), (), "the server needs no credentials: use spec.storage.credentialsSecretRef for the fetcher"),
    Refusal(
        ("OPENSSL_", "SSL_", "REQUESTS_", "CURL_"),
        (),
        "these change whom programs trust: remove them, and use an image with the certificates that are needed",
    ),
    Refusal(("KUBERNETES_",), (), "Kubernetes sets these: remove them"),
    Refusal(
        ("BASH_",),
        ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "HOSTNAME", "ENV", "IFS", "CDPATH", "TMPDIR"),
        "the image sets these: remove them, and use another image in spec.runtime.image",
    ),
)

EXPANSION = "write the value itself: Kubernetes would put another variable in the place of $(NAME)"
"""Why no value and no argument holds `$(`: what is read is then what was written."""


def name_rules() -> dict[str, Any]:
    """The CEL rules for the name of a variable."""
    return cel(*(refusal.rule() for refusal in REFUSED))


def value_rules() -> dict[str, Any]:
    """The CEL rules for the value of a variable or an argument."""
    return cel(("!self.contains('$(')", EXPANSION))


def refuse_name(name: str) -> str:
    """`name`, or ValueError with what to do instead."""
    refusal = next((item for item in REFUSED if item.matches(name)), None)
    if refusal is not None:
        raise ValueError(refusal.message)
    return name


def refuse_expansion(value: str) -> str:
    """`value`, or ValueError when Kubernetes would change it."""
    if "$(" in value:
        raise ValueError(EXPANSION)
    return value
