"""Counts of an episode that take a third of their memory while nobody reads them."""

from __future__ import annotations

import itertools
import zlib

import numpy as np
from numpy.typing import NDArray

from openenv_kit.byte_cache import ByteCache

MAX_UNPACKED_BYTES = 24 << 20
"""Unpacked counts that a process keeps, of all episodes together."""
FASTEST = 1
"""Level of compression: higher ones take four times as long and save 5 %."""

Counts = NDArray[np.int32]

UNPACKED: ByteCache[int, Counts] = ByteCache(MAX_UNPACKED_BYTES, lambda counts: counts.nbytes)
"""Counts that were read last, by the number of their `PackedCounts`."""
_NUMBERS = itertools.count()


class PackedCounts:
    """Counts of one episode, compressed without loss.

    The first bytes of all numbers are stored together, then the second ones, and so on: high bytes
    are nearly always zero.

    Args:
        counts: any shape.
    """

    def __init__(self, counts: Counts) -> None:
        self._shape = counts.shape
        self._number = next(_NUMBERS)
        planes = counts.astype("<i4").reshape(-1, 1).view(np.uint8).T
        self._packed = zlib.compress(planes.tobytes(), FASTEST)
        UNPACKED.get_or_create(self._number, lambda: counts)  # what was made will soon be read

    @property
    def size_bytes(self) -> int:
        """Bytes of the compressed counts."""
        return len(self._packed)

    def unpack(self) -> Counts:
        """Return the counts, read-only."""
        return UNPACKED.get_or_create(self._number, self._unpacked)

    def _unpacked(self) -> Counts:
        planes = np.frombuffer(zlib.decompress(self._packed), np.uint8).reshape(4, -1)
        numbers = np.ascontiguousarray(planes.T).view("<i4").astype(np.int32, copy=False)
        counts = numbers.reshape(self._shape)
        counts.setflags(write=False)
        return counts
