"""The status page of a server pod, as much of it as the operator shows."""

from typing import Literal

from mmm_operator.api.base import ApiModel
from mmm_operator.snapshot import ServerReport, SwapReport


class Model(ApiModel):
    """What is loaded."""

    digest: str
    version: str = ""


class Device(ApiModel):
    """Where it is loaded."""

    kind: str
    name: str = ""
    dtype: str = ""
    memory_bytes: int | None = None


class Swap(ApiModel):
    """The version that the server goes over to, or went over to last."""

    digest: str
    state: str
    reason: str | None = None
    message: str | None = None


class StatusPage(ApiModel):
    """`/v1/status` of a server that is ready; of any other it is no valid page."""

    state: Literal["READY"]
    model: Model
    device: Device
    load_seconds: float | None = None
    swap: Swap | None = None

    def report(self, pod: str) -> ServerReport:
        """The page, as the report of a pod."""
        return ServerReport(
            pod=pod,
            digest=self.model.digest,
            device=self.device.kind,
            device_name=self.device.name,
            dtype=self.device.dtype,
            memory_bytes=self.device.memory_bytes,
            load_seconds=self.load_seconds,
            swap=SwapReport(self.swap.digest, self.swap.state, self.swap.reason or "", self.swap.message or "")
            if self.swap
            else None,
            version=self.model.version,
        )
