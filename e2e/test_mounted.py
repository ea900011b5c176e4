"""Models on a claim and in an image serve from where they lie; one with a wrong bit never does."""

import hashlib
import shutil
from pathlib import Path

from dev.demo.phases import wait_ready
from dev.demo.stage import Object, Stage
from dev.demo.traffic import steady_load
from dev.localcluster.images import Image
from dev.models import ensure_models, variants
from e2e.claims import shared_claim
from e2e.models import Models

IMAGE = "localhost/models/clip"


def test_a_claim_serves_what_lies_on_it(stage: Stage, models: Models, tmp_path: Path) -> None:
    with shared_claim(stage, models.namespace, tmp_path) as volume:
        good = version(stage, volume / "team" / "clip", "1")
        bad = version(stage, volume / "team" / "clip", "2")
        variants.corrupt(volume / "team" / "clip" / "2")
        serves(stage, models, mounted("pvc://models/team/clip", "1", good))
        refuses(models, mounted("pvc://models/team/clip", "2", bad))


def test_an_image_serves_what_is_in_it(stage: Stage, models: Models, tmp_path: Path) -> None:
    good = version(stage, tmp_path, "1")
    shutil.copytree(tmp_path / "1", tmp_path / "2")
    variants.corrupt(tmp_path / "2")
    for tag in ("1", "2"):
        files = {f"/{path.name}": path for path in (tmp_path / tag).iterdir()}
        stage.cluster.load_image(Image(f"{IMAGE}:{tag}", files, []).save(tmp_path / f"{tag}.tar"))
    serves(stage, models, mounted(f"oci://{IMAGE}", "1", good))
    refuses(models, mounted(f"oci://{IMAGE}", "2", good))


def version(stage: Stage, place: Path, name: str) -> str:
    """The digest of the trained CLIP, published to a directory of this machine."""
    stage.publish(ensure_models() / "clip" / "2", str(place), name)
    return f"sha256:{hashlib.sha256((place / name / 'manifest.json').read_bytes()).hexdigest()}"


def mounted(uri: str, name: str, digest: str) -> Object:
    return {"uri": uri, "version": name, "digest": digest}


def serves(stage: Stage, models: Models, model: Object) -> None:
    models.apply("clip", "", model=model, storage={})
    wait_ready(stage, models.namespace, "clip", seconds=180)
    current = models.status("clip")["model"]["current"]
    assert (current["version"], current["digest"]) == (model["version"], model["digest"])
    assert "each pod checks" in models.condition("clip", "ModelResolved")["message"]
    with steady_load(stage, models.namespace, "clip") as load:
        pass
    score = load.stop()
    assert (score.failed, set(score.requests)) == (0, {"1"}), score.why


def refuses(models: Models, model: Object) -> None:
    """The version with a wrong bit is named, and the one that serves goes on."""
    models.patch("clip", {"model": model})
    message = models.wait_condition("clip", "Ready", "False", "DigestMismatch")
    assert "model.safetensors" in message
    assert models.status("clip")["model"]["current"]["version"] == "1"
    models.wait_condition("clip", "Available", "True", "Serving")
