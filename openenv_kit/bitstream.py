"""Reproducible randomness: Philox words and nothing that could differ between machines.

NumPy promises the raw 64-bit output of a bit generator for ever; it does not promise its
distributions. So only raw words are read here, and what is made of them is integer
arithmetic followed by one float operation at a time, each of them exactly rounded by
IEEE 754 on every platform.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_UNIFORMS_PER_NORMAL = 8  # uniform 16-bit integers summed for one normal variate: two 64-bit words
_MEAN_OF_SUM = _UNIFORMS_PER_NORMAL * (2**16 - 1) / 2
_STANDARD_DEVIATION_OF_SUM = math.sqrt(_UNIFORMS_PER_NORMAL * (2**32 - 1) / 12)
_FLOAT_STEP = 2.0**-53
_WORDS_PER_BLOCK = 256
_EVEN_UNIFORMS_MASK = np.uint64(0x0000_FFFF_0000_FFFF)
_UNIFORM_BITS = np.uint64(16)


class BitStream:
    """Stream of raw words keyed by a text, with a counter for fresh attempts.

    Args:
        key_text: text that names everything the stream is for; two different texts share
            nothing (the key is 128 bits of their SHA-256).
        attempt: number of the draw; different attempts read disjoint counter ranges.
    """

    def __init__(self, key_text: str, attempt: int = 0) -> None:
        digest = hashlib.sha256(key_text.encode()).digest()
        key = int.from_bytes(digest[:16], "big")
        self._philox = np.random.Philox(key=key, counter=attempt << 192)
        self._unread_words: list[int] = []

    def raw_words(self, count: int) -> NDArray[np.uint64]:
        """Next `size` raw 64-bit words."""
        return self._philox.random_raw(count)

    def normals(self, *shape: int) -> NDArray[np.float64]:
        """Nearly normal variates: centred, scaled sums of eight 16-bit uniforms.

        The sum is taken in integers, within a word, so neither the order of summation nor
        the machine's byte order can show. The range is about ±4.9 standard deviations.
        """
        # Two sums of 16-bit numbers fit side by side in a word, and four still do.
        words = self.raw_words(2 * math.prod(shape))
        sums = words >> _UNIFORM_BITS
        sums &= _EVEN_UNIFORMS_MASK
        words &= _EVEN_UNIFORMS_MASK
        sums += words
        halves = (sums[0::2] + sums[1::2]).view(np.uint32)
        normals = (halves[0::2] + halves[1::2]).astype(np.float64)
        normals -= _MEAN_OF_SUM
        normals /= _STANDARD_DEVIATION_OF_SUM
        return normals.reshape(shape)

    def _read_next_block(self) -> list[int]:
        """A new block of words, where none is left of the one before."""
        self._unread_words = self.raw_words(_WORDS_PER_BLOCK)[::-1].tolist()
        return self._unread_words

    # An episode reads some hundred words one by one: a call more for each would show.

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """One float in [low, high)."""
        word = (self._unread_words or self._read_next_block()).pop()
        return low + (high - low) * ((word >> 11) * _FLOAT_STEP)

    def integer_below(self, bound: int) -> int:
        """One integer in [0, bound); the bias is at most bound / 2**64."""
        return ((self._unread_words or self._read_next_block()).pop() * bound) >> 64

    def choose(self, items: Sequence[T]) -> T:
        """One item, all equally likely."""
        return items[self.integer_below(len(items))]

    def shuffled_copy(self, items: Sequence[T]) -> list[T]:
        """A random permutation, by Fisher and Yates."""
        mixed = list(items)
        for last in range(len(mixed) - 1, 0, -1):
            other = ((self._unread_words or self._read_next_block()).pop() * (last + 1)) >> 64
            mixed[last], mixed[other] = mixed[other], mixed[last]
        return mixed
