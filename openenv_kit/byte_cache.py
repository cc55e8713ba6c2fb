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
        self.cached_bytes = 0
        self._size_of = size_of
        self._cached_values: OrderedDict[K, V] = OrderedDict()  # the last used one last
        self._live_values: WeakValueDictionary[K, V] = WeakValueDictionary()
        self._creation_locks: dict[K, threading.Lock] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._cached_values)

    def get_or_create(self, key: K, create: Callable[[], V]) -> V:
        """Return the value of a key; make it if it is neither kept nor used elsewhere."""
        with self._lock:
            making = self._creation_locks.setdefault(key, threading.Lock())
        with making:
            try:
                with self._lock:
                    value = self._live_values.get(key)
                if value is None:
                    value = create()
                with self._lock:
                    self._store_and_evict(key, value)
                return value
            finally:
                with self._lock:
                    self._creation_locks.pop(key, None)

    def _store_and_evict(self, key: K, value: V) -> None:
        """Make a value the last used one, and drop others until the rest fits."""
        self._live_values[key] = value
        if key not in self._cached_values:
            self._cached_values[key] = value
            self.cached_bytes += self._size_of(value)
        self._cached_values.move_to_end(key)
        while self.cached_bytes > self.max_bytes:
            _, dropped = self._cached_values.popitem(last=False)
            self.cached_bytes -= self._size_of(dropped)
