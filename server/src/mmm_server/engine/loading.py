"""From settings to a loaded backend that offers the wanted tasks."""

import logging

from mmm_server.backends.base import Backend, Threads, Wishes
from mmm_server.backends.directory import inspect_directory
from mmm_server.backends.registry import find_loader
from mmm_server.engine.batching import BatchLimits
from mmm_server.engine.version import Version
from mmm_server.errors import Fatal, ModelLoadFailed, UnsupportedTask
from mmm_server.settings import Settings
from mmm_server.tasks import Task, name_all

log = logging.getLogger(__name__)


def load_backend(settings: Settings, version: Version, threads: int, beside: Threads | None = None) -> Backend:
    """The version on its device, as the settings want it; a Fatal error with a reason if that is impossible.

    `threads` may be used; `beside` is what was found best for the version that serves meanwhile.
    """
    directory = settings.path_of(version.digest)
    architectures = inspect_directory(directory, version.digest)
    wishes = Wishes(
        device=settings.device,
        dtype=settings.dtype,
        quantization=settings.quantization,
        compile=settings.compile,
        exact=settings.exact,
        max_batch_size=settings.max_batch_size,
        require_accelerator=settings.require_accelerator,
        threads=threads,
        threads_beside=beside,
        max_text_tokens=settings.max_text_tokens,
    )
    try:
        architecture, loader = find_loader(architectures)
        backend = loader(directory, architecture, wishes)
    except Fatal:
        raise
    except Exception:
        log.exception("the model cannot be loaded")
        raise ModelLoadFailed("The model cannot be loaded; the log of the server says why.") from None
    offered_tasks(settings, backend)
    return backend


def offered_tasks(settings: Settings, backend: Backend) -> tuple[Task, ...]:
    """The tasks to offer: the wanted ones, or all that the model can do; UnsupportedTask if it cannot do one."""
    able, architecture = backend.capabilities.tasks, backend.capabilities.architecture
    unable = [word for word in settings.model_tasks if word not in able]
    if unable:
        raise UnsupportedTask(f"A {architecture} does not offer {', '.join(unable)}; it offers {name_all(able)}.")
    return tuple(Task(word) for word in settings.model_tasks) or able


def batch_limits(settings: Settings, backend: Backend) -> BatchLimits:
    """The wanted batch size, or the backend's own."""
    return BatchLimits(max_images=settings.max_batch_size or backend.capabilities.default_batch_size)
