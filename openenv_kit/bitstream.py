"""Random numbers that are the same on every machine and with every version of NumPy.

NumPy guarantees the raw 64-bit output of a bit generator, but not its distributions. This module
therefore reads raw words only. It computes with integers and then applies basic float operations,
whose rounding IEEE 754 defines exactly.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_UNIFORMS_PER_NORMAL = 8  # number of 16-bit integers in two 64-bit words
_MEAN_OF_SUM = _UNIFORMS_PER_NORMAL * (2**16 - 1) / 2
_STANDARD_DEVIATION_OF_SUM = math.sqrt(_UNIFORMS_PER_NORMAL * (2**32 - 1) / 12)
_FLOAT_STEP = 2.0**-53
_WORDS_PER_BLOCK = 256
_EVEN_UNIFORMS_MASK = np.uint64(0x0000_FFFF_0000_FFFF)
_UNIFORM_BITS = np.uint64(16)


class BitStream:
    """A reproducible stream of random numbers that is seeded with a string.

    Args:
        key_text: string that identifies the purpose of the stream. Different strings give
            independent streams, because the generator's key is 128 bits of the string's SHA-256.
        attempt: number that selects one of many non-overlapping streams for the same string.
    """

    def __init__(self, key_text: str, attempt: int = 0) -> None:
        digest = hashlib.sha256(key_text.encode()).digest()
        key = int.from_bytes(digest[:16], "big")
        self._philox = np.random.Philox(key=key, counter=attempt << 192)
        self._unread_words: list[int] = []

    def read_raw_words(self, count: int) -> NDArray[np.uint64]:
        """Return the next `count` raw 64-bit words."""
        return self._philox.random_raw(count)

    def draw_normals(self, *shape: int) -> NDArray[np.float64]:
        """Return an array of approximately normal variates: standardized sums of eight uniforms.

        The uniforms are 16-bit integers and are summed as integers, so that the order of summation
        and the byte order of the machine do not matter. The values are within about ±4.9 standard
        deviations.

        Args:
            shape: shape of the array.
        """
        # Each sum stays below 32 bits, so a 64-bit word has room for two sums.
        words = self.read_raw_words(2 * math.prod(shape))
        sums = words >> _UNIFORM_BITS
        sums &= _EVEN_UNIFORMS_MASK
        words &= _EVEN_UNIFORMS_MASK
        sums += words
        halves = (sums[0::2] + sums[1::2]).view(np.uint32)
        normals = (halves[0::2] + halves[1::2]).astype(np.float64)
        normals -= _MEAN_OF_SUM
        normals /= _STANDARD_DEVIATION_OF_SUM
        return normals.reshape(shape)

    def _refill_unread_words(self) -> list[int]:
        self._unread_words = self.read_raw_words(_WORDS_PER_BLOCK)[::-1].tolist()
        return self._unread_words

    # The methods below pop words directly instead of calling a helper: an episode reads hundreds of
    # single words, and an additional function call per word takes measurable time.

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return a float in [low, high)."""
        word = (self._unread_words or self._refill_unread_words()).pop()
        return low + (high - low) * ((word >> 11) * _FLOAT_STEP)

    def integer_below(self, bound: int) -> int:
        """Return an integer in [0, bound). The bias is at most `bound / 2**64`."""
        return ((self._unread_words or self._refill_unread_words()).pop() * bound) >> 64

    def choose(self, items: Sequence[T]) -> T:
        """Return one of the items, each with the same probability."""
        return items[self.integer_below(len(items))]

    def shuffled_copy(self, items: Sequence[T]) -> list[T]:
        """Return a copy of the items in random order (Fisher–Yates shuffle)."""
        shuffled = list(items)
        for last in range(len(shuffled) - 1, 0, -1):
            other = ((self._unread_words or self._refill_unread_words()).pop() * (last + 1)) >> 64
            shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
        return shuffled
