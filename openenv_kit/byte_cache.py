"""A cache that is bounded by bytes and shares what is still in use."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteCache(Generic[K, V]):
    """Keeps the most recently used values, as many as fit into a number of bytes.

    A value that is still used elsewhere is shared even after the cache dropped it. Threads that ask
    for the same key at the same time wait for one of them to make the value.

    Args:
        max_bytes: bytes of the values that are kept; a larger value is made and not kept.
        size_of: returns the bytes of a value, which has to support weak references.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[V], int]) -> None:
        self.max_bytes = max_bytes
        self.kept_bytes = 0
        self._size_of = size_of
        self._kept: OrderedDict[K, V] = OrderedDict()  # the last used one last
        self._alive: WeakValueDictionary[K, V] = WeakValueDictionary()
        self._making: dict[K, threading.Lock] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of a key; make it if it is neither kept nor used elsewhere."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            try:
                with self._lock:
                    value = self._alive.get(key)
                if value is None:
                    value = make()
                with self._lock:
                    self._keep(key, value)
                return value
            finally:
                with self._lock:
                    self._making.pop(key, None)

    def _keep(self, key: K, value: V) -> None:
        """Make a value the last used one, and drop others until the rest fits."""
        self._alive[key] = value
        if key not in self._kept:
            self._kept[key] = value
            self.kept_bytes += self._size_of(value)
        self._kept.move_to_end(key)
        while self.kept_bytes > self.max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.kept_bytes -= self._size_of(dropped)
