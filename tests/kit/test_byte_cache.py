"""`ByteCache` is limited by bytes, shares used values and computes each once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from openenv_kit.byte_cache import ByteCache


class Value:
    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes


def cache_of(max_bytes: int) -> ByteCache[str, Value]:
    return ByteCache(max_bytes, lambda value: value.size_bytes)


def test_byte_cache_over_its_limit_drops_the_longest_unused_value() -> None:
    cache, made = cache_of(25), []

    def get(key: str) -> None:
        cache.get_or_create(key, lambda: made.append(key) or Value(10))

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
        assert cache.cached_bytes <= 25
    assert made == ["a", "b", "c", "b"]
    assert len(cache) == 2


def test_byte_cache_shares_a_dropped_value_that_is_still_used() -> None:
    cache = cache_of(10)
    used = cache.get_or_create("used", lambda: Value(10))
    cache.get_or_create("other", lambda: Value(10))
    assert cache.get_or_create("used", lambda: Value(10)) is used


def test_byte_cache_never_keeps_a_value_larger_than_the_limit() -> None:
    cache = cache_of(10)
    assert cache.get_or_create("large", lambda: Value(11)).size_bytes == 11
    assert (len(cache), cache.cached_bytes) == (0, 0)


def test_byte_cache_asked_by_several_threads_makes_the_value_once() -> None:
    cache, made, may_end = cache_of(10), [], threading.Event()

    def make() -> Value:
        made.append(1)
        may_end.wait(60)
        return Value(1)

    with ThreadPoolExecutor(4) as threads:
        found = [threads.submit(cache.get_or_create, "a", make) for _ in range(4)]
        while not made:
            pass
        may_end.set()
        assert len({id(each.result(60)) for each in found}) == 1
    assert made == [1]


def test_byte_cache_makes_a_value_again_after_a_failure() -> None:
    cache = cache_of(10)

    def fail() -> Value:
        raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        cache.get_or_create("a", fail)
    assert cache.get_or_create("a", lambda: Value(3)).size_bytes == 3
