"""Small builders for the engine's unit tests."""

import asyncio

import numpy as np

from mmm_server.backends.base import Kind, Prepared
from mmm_server.engine.ticket import Item, Ticket

FAR = 1e9


def make_item(
    name: str = "r", *, kind: Kind = Kind.IMAGE, bucket: int = 0, deadline: float = FAR, gone: bool = False
) -> Item:
    """An item of a request of its own; only its ticket and shape matter."""
    loop = asyncio.new_event_loop()
    future = loop.create_future()
    loop.close()
    prepared = Prepared(kind, bucket, np.zeros(1, dtype=np.float32))
    return Item(Ticket(name, deadline, gone), prepared, future, 0.0)


def names(items: list[Item]) -> list[str]:
    """The request ids of items, in order."""
    return [item.ticket.request_id for item in items]
