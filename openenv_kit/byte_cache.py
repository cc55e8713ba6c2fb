"""A least-recently-used cache with a size limit in bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteCache(Generic[K, V]):
    """A cache of the most recently used values, up to a total size in bytes.

    A value that other code still references is returned even after the cache evicted it. If
    several threads request the same key at the same time, one thread creates the value and the
    others wait.

    Args:
        max_bytes: largest total size of the cached values; a larger value is not cached.
        size_of: function that returns the size of a value in bytes. Values must support weak
            references.

    Attributes:
        cached_bytes: total size of the cached values.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[V], int]) -> None:
        self.max_bytes = max_bytes
        self.cached_bytes = 0
        self._size_of = size_of
        self._cached_values: OrderedDict[K, V] = OrderedDict()  # least recently used first
        self._live_values: WeakValueDictionary[K, V] = WeakValueDictionary()
        self._creation_locks: dict[K, threading.Lock] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._cached_values)

    def get_or_create(self, key: K, create: Callable[[], V]) -> V:
        """Return the value of a key; create it if it is neither cached nor still in use."""
        with self._lock:
            creation_lock = self._creation_locks.setdefault(key, threading.Lock())
        with creation_lock:
            try:
                with self._lock:
                    value = self._live_values.get(key)
                if value is None:
                    value = create()
                with self._lock:
                    self._store_value_and_evict_oldest(key, value)
                return value
            finally:
                with self._lock:
                    self._creation_locks.pop(key, None)

    def _store_value_and_evict_oldest(self, key: K, value: V) -> None:
        """Store a value as the most recently used, and evict old values above the size limit."""
        self._live_values[key] = value
        if key not in self._cached_values:
            self._cached_values[key] = value
            self.cached_bytes += self._size_of(value)
        self._cached_values.move_to_end(key)
        while self.cached_bytes > self.max_bytes:
            _, evicted_value = self._cached_values.popitem(last=False)
            self.cached_bytes -= self._size_of(evicted_value)
