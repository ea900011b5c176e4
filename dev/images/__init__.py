"""Container images of the project, built from its own Dockerfiles with or without a Docker engine.

    from dev.images import build_images
    image = build_images(["server"])["server"]      # builds only what changed
    image.reference                                 # localhost/multimodal-operator/server:1f0c…
    image.layout                                    # a directory: an OCI image layout, for containerd

An image is named by the hash of everything that it is made of, so an unchanged tree costs no build and a running
cluster sees a new name exactly when there is something new. Where a Docker engine answers, it builds. Where there is
none, buildah does, and where no registry is reachable either, the base image is made from Debian's packages (`base`).
"""

from .build import ImageRef, build_images

__all__ = ["ImageRef", "build_images"]
