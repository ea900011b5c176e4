"""A small memory of text vectors, as the same labels come with every request. Event loop only."""

from collections import OrderedDict

from mmm_server.backends.base import Vector


class TextCache:
    """The vectors of the texts used last; one process serves one digest, so the text alone is the key."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._vectors: OrderedDict[str, Vector] = OrderedDict()

    def get(self, text: str) -> Vector | None:
        """The vector of a text that was computed before."""
        vector = self._vectors.get(text)
        if vector is not None:
            self._vectors.move_to_end(text)
        return vector

    def put(self, text: str, vector: Vector) -> None:
        """Remembers a vector and forgets the one that was unused for longest."""
        if self._capacity == 0:
            return
        self._vectors[text] = vector
        self._vectors.move_to_end(text)
        while len(self._vectors) > self._capacity:
            self._vectors.popitem(last=False)
