"""Who may reach the server pods, and what they may reach."""

from typing import Annotated

from pydantic import ConfigDict, Field

from mmm_operator.api import rules
from mmm_operator.api.base import LIST_ATOMIC, LIST_SET, ApiModel
from mmm_operator.api.scalars import LabelMap

Cidr = Annotated[
    str,
    Field(max_length=64, pattern=r"^[0-9a-fA-F:.]+/[0-9]{1,3}$", json_schema_extra=rules.CIDR),
]


class Selector(ApiModel):
    """What carries all these labels; everything, when there are none."""

    match_labels: LabelMap = Field(default_factory=dict, description="Labels that it carries.")


class IPBlock(ApiModel):
    """A range of addresses."""

    cidr: Cidr = Field(description="The range, for instance 10.0.0.0/8.")
    apart_from: tuple[Cidr, ...] = Field(
        default=(),
        max_length=16,
        alias="except",
        description="Ranges inside of it that are left out.",
        json_schema_extra=LIST_ATOMIC,
    )


class Peer(ApiModel):
    """Somebody on the network: pods by labels, or a range of addresses."""

    model_config = ConfigDict(json_schema_extra=rules.PEER)

    namespace_selector: Selector | None = Field(
        default=None, description="Namespaces of the pods. Absent: the object's own."
    )
    pod_selector: Selector | None = Field(default=None, description="The pods. Absent: all of the namespaces.")
    ip_block: IPBlock | None = Field(
        default=None, alias="ipBlock", description="Addresses, for callers outside of the cluster."
    )


class NetworkPolicy(ApiModel):
    """Close the network around the server pods, as far as the cluster's network plug-in enforces it.

    In: the port of the model from `clients`, the port of the operator and of metrics from every pod. Out: DNS, and
    `storagePorts` at any address, since a NetworkPolicy knows no host names, and no single containers of a pod.
    """

    clients: tuple[Peer, ...] = Field(
        default=(),
        max_length=16,
        description="Who may send requests. Default: the pods of the object's own namespace.",
        json_schema_extra=LIST_ATOMIC,
    )
    storage_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(
        default=(),
        max_length=8,
        description="Ports of the object store's pods or machines, which a Service may map to others. "
        "Default: the port of `storage.endpoint`.",
        json_schema_extra=LIST_SET,
    )
