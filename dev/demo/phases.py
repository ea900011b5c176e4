"""What the demo does, phase by phase; the end-to-end tests run the very same functions of a `Demo`."""

import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dev.demo.stage import OPERATOR_NAMESPACE, RELEASE, ROOT, Object, Stage, StageError
from dev.demo.traffic import Score, classify, steady_load
from dev.models import ensure_heldout, ensure_models
from dev.models.card import read_card
from dev.tools import tool

NAMESPACE = "demo"
MODEL = "clip"
SAMPLE = ROOT / "manifests" / "samples" / "clip.yaml"
URI = "s3://models/clip"


@dataclass
class Demo:
    """The demo under way: the stage, what has been measured so far, and where to print."""

    stage: Stage = field(default_factory=Stage)
    say: Callable[[str], None] = print
    before: Score | None = None
    during: Score | None = None
    after: Score | None = None

    def model(self) -> Object:
        """The MultimodalModel as it is now."""
        found = self.stage.get("mmm", MODEL, NAMESPACE)
        if found is None:
            raise StageError(f"MultimodalModel {NAMESPACE}/{MODEL} does not exist")
        return found


def check_prerequisites(demo: Demo) -> None:
    """Check what the machine must have."""
    demo.stage.check_prerequisites()


def build_images(demo: Demo) -> None:
    """Build the images from the Dockerfiles."""
    for image in demo.stage.images.values():
        demo.say(image.reference)


def start_cluster(demo: Demo) -> None:
    """Start a Kubernetes cluster."""
    demo.stage.cluster.up()
    demo.say(demo.stage.kubectl("get", "nodes"))


def load_images(demo: Demo) -> None:
    """Load the images into the cluster."""
    demo.stage.load_images()


def start_storage(demo: Demo) -> None:
    """Start an S3 server."""
    demo.stage.empty_storage()


def train_models(demo: Demo) -> None:
    """Train two versions of a tiny CLIP on coloured shapes."""
    models = ensure_models(demo.say)
    ensure_heldout(1)
    for version in ("1", "2"):
        demo.say(f"version {version}: accuracy {read_card(models / 'clip' / version).accuracy:.0%} when trained")


def install_operator(demo: Demo) -> None:
    """Install the operator with helm."""
    demo.stage.install_chart()
    demo.say(demo.stage.kubectl("get", "pods", "-n", OPERATOR_NAMESPACE))


def publish_first_version(demo: Demo) -> None:
    """Publish version 1 to the bucket."""
    _publish(demo, "1")


def apply_sample(demo: Demo) -> None:
    """Apply the sample MultimodalModel."""
    demo.stage.ensure_model_namespace(NAMESPACE)
    demo.say(SAMPLE.read_text())
    demo.stage.apply(SAMPLE.read_text(), NAMESPACE)


def wait_until_ready(demo: Demo) -> None:
    """Wait until it is Ready."""
    with watched(demo):
        wait_ready(demo.stage, NAMESPACE, MODEL)


def classify_first(demo: Demo) -> None:
    """Classify held-out pictures through the Service."""
    demo.before = classify(demo.stage, NAMESPACE, MODEL)
    demo.say(f"version 1 names {demo.before.accuracy('1'):.0%} of {demo.before.total} pictures rightly")


def roll_to_second_version(demo: Demo) -> None:
    """Publish version 2 and roll it out while a client keeps asking."""
    _publish(demo, "2")
    with steady_load(demo.stage, NAMESPACE, MODEL) as load, watched(demo):
        demo.stage.kubectl(
            "patch", "mmm", MODEL, "-n", NAMESPACE, "--type=merge", "-p", '{"spec": {"model": {"version": "2"}}}'
        )
        wait_version(demo.stage, NAMESPACE, MODEL, "2")
        wait_ready(demo.stage, NAMESPACE, MODEL)
        load.wait_for_version("2", 50)
    demo.during = load.stop()
    demo.say(f"{demo.during.total} requests during the rollout, {demo.during.failed} failed: {demo.during.requests}")
    if demo.during.failed:
        raise StageError(f"requests failed during the rollout: {'; '.join(demo.during.why)}")


def classify_second(demo: Demo) -> None:
    """Classify the same pictures again."""
    demo.after = classify(demo.stage, NAMESPACE, MODEL)
    before = demo.before.accuracy("1") if demo.before else 0.0
    demo.say(f"version 2 names {demo.after.accuracy('2'):.0%} rightly, version 1 did {before:.0%}")
    if demo.after.accuracy("2") <= before:
        raise StageError("version 2 should be better than version 1")


def scale_up(demo: Demo) -> None:
    """Scale to two pods with kubectl scale."""
    with watched(demo):
        demo.stage.kubectl("scale", f"mmm/{MODEL}", "-n", NAMESPACE, "--replicas=2")
        wait_replicas(demo.stage, NAMESPACE, MODEL, 2)


def show(demo: Demo) -> None:
    """Show what the operator says: columns, conditions, events, log."""
    kubectl = demo.stage.kubectl
    demo.say(kubectl("get", "mmm", MODEL, "-n", NAMESPACE, "-o", "wide"))
    for condition in demo.model()["status"]["conditions"]:
        demo.say(
            f"{condition['type']:20} {condition['status']:8} {condition['reason']:20} {condition.get('message', '')}"
        )
    demo.say(kubectl("get", "events", "-n", NAMESPACE, "--field-selector=involvedObject.kind=MultimodalModel"))
    demo.say(kubectl("logs", f"deployment/{RELEASE}", "-n", OPERATOR_NAMESPACE, "--tail=8"))


PREPARATION: tuple[Callable[[Demo], None], ...] = (
    check_prerequisites,
    build_images,
    start_cluster,
    load_images,
    start_storage,
    train_models,
    install_operator,
)
STORY: tuple[Callable[[Demo], None], ...] = (
    publish_first_version,
    apply_sample,
    wait_until_ready,
    classify_first,
    roll_to_second_version,
    classify_second,
    scale_up,
    show,
)


def title(phase: Callable[[Demo], None]) -> str:
    """What the phase does, for people."""
    return (phase.__doc__ or phase.__name__).strip().removesuffix(".")


def wait_ready(stage: Stage, namespace: str, model: str, seconds: int = 180) -> None:
    """Return when the object is Ready for its newest generation."""
    stage.kubectl("wait", "--for=condition=Ready", f"mmm/{model}", "-n", namespace, f"--timeout={seconds}s")


def wait_version(stage: Stage, namespace: str, model: str, version: str, seconds: int = 180) -> None:
    """Return when `version` answers requests."""
    path = f"--for=jsonpath={{.status.model.current.version}}={version}"
    stage.kubectl("wait", path, f"mmm/{model}", "-n", namespace, f"--timeout={seconds}s")


def wait_replicas(stage: Stage, namespace: str, model: str, count: int, seconds: int = 180) -> None:
    """Return when `count` pods answer requests."""
    path = f"--for=jsonpath={{.status.readyReplicas}}={count}"
    stage.kubectl("wait", path, f"mmm/{model}", "-n", namespace, f"--timeout={seconds}s")


@contextmanager
def watched(demo: Demo) -> Iterator[None]:
    """Print what `kubectl get mmm -w` prints while the block runs."""
    environment = {"KUBECONFIG": str(demo.stage.cluster.kubeconfig), "HOME": tempfile.gettempdir()}
    command = [str(tool("kubectl")), "get", "mmm", MODEL, "-n", NAMESPACE, "-w"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as watch:
        reader = threading.Thread(target=_relay, args=(watch.stdout, demo.say), daemon=True)
        reader.start()
        try:
            yield
        finally:
            watch.terminate()
            reader.join(timeout=5)


def _relay(lines: Iterable[str] | None, say: Callable[[str], None]) -> None:
    for line in lines or ():
        say(line.rstrip())


def _publish(demo: Demo, version: str) -> None:
    directory: Path = ensure_models(demo.say) / "clip" / version
    card = read_card(directory)
    facts = {"task": card.task, "framework": card.framework, "accuracy": card.accuracy}
    demo.say(demo.stage.publish(directory, URI, version, **facts))
