"""Every Go program that the project uses, with its version: the one place to change when one is upgraded."""

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Build:
    """One run of the Go compiler, and the programs that it leaves."""

    name: str
    version: str
    programs: tuple[str, ...]
    packages: tuple[str, ...] = ()
    """Import paths for `go install`, all of one module; none means that `source` is built instead."""
    source: Path | None = None
    """Our own module, whose single program answers to all the names in `programs`."""
    variables: tuple[tuple[str, str], ...] = ()
    """Link-time values: most programs cannot tell their own version without them."""

    @property
    def ldflags(self) -> str:
        """The linker's options: no debug tables (a third of the size), and the values of `variables`."""
        return " ".join(["-s", "-w", *(f"-X={name}={value}" for name, value in self.variables)])

    @property
    def key(self) -> str:
        """A folder name that changes whenever the programs would."""
        digest = hashlib.sha256(f"{platform.machine()} {self.version} {self.packages} {self.ldflags}".encode())
        for file in self._sources():
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"

    def _sources(self) -> list[Path]:
        if self.source is None:
            return []
        return sorted([*self.source.glob("*.go"), self.source / "go.mod", self.source / "go.sum"])


KUBERNETES = "1.37.0"
_COMPONENT = "k8s.io/component-base/version"

# In the order in which the tiers of `make test` need them.
BUILDS = (
    Build("versitygw", "1.8.0", ("versitygw",), ("github.com/versity/versitygw/cmd/versitygw",)),
    Build(
        name="kubernetes",
        version=KUBERNETES,
        programs=(
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
            "kubectl",
        ),
        source=REPOSITORY / "dev/localcluster/kubernetes",
        variables=(
            (f"{_COMPONENT}.gitVersion", f"v{KUBERNETES}"),
            (f"{_COMPONENT}.gitMajor", "1"),
            (f"{_COMPONENT}.gitMinor", "37"),
            ("k8s.io/client-go/pkg/version.gitVersion", f"v{KUBERNETES}"),
        ),
    ),
    Build(
        name="helm",
        version="4.3.1",
        programs=("helm",),
        packages=("helm.sh/helm/v4/cmd/helm",),
        variables=(("helm.sh/helm/v4/internal/version.version", "v4.3.1"),),
    ),
    Build(
        name="containerd",
        version="2.4.2",
        programs=("containerd", "containerd-shim-runc-v2", "ctr"),
        packages=tuple(
            f"github.com/containerd/containerd/v2/cmd/{name}"
            for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        ),
        variables=(("github.com/containerd/containerd/v2/version.Version", "2.4.2"),),
    ),
    Build("coredns", "1.15.0", ("coredns",), ("github.com/coredns/coredns",)),
    Build("kind", "0.33.0", ("kind",), ("sigs.k8s.io/kind",)),
    Build(
        name="kwok",
        version="0.8.0",
        programs=("kwok",),
        packages=("sigs.k8s.io/kwok/cmd/kwok",),
        variables=(("sigs.k8s.io/kwok/pkg/consts.Version", "v0.8.0"),),
    ),
)

ON_DEMAND = frozenset({"kind", "kwok"})
"""Built when asked for by name only: not everybody needs them."""


def build_of(program: str) -> Build:
    """The build that leaves `program` (a program's name, or the build's own)."""
    for build in BUILDS:
        if program == build.name or program in build.programs:
            return build
    known = sorted({name for build in BUILDS for name in build.programs})
    raise KeyError(f"no tool is called {program!r}; there are {', '.join(known)}")
