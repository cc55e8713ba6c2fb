"""The hit ratio that a cache moves towards."""

from __future__ import annotations

from firewatch_next.simulation.service import Service


def update_hit_target(cache: Service) -> None:
    """Set the hit ratio that follows from a cache's size, time to live and keys."""
    size = cache.cache_megabytes / (cache.usual_cache_megabytes * cache.working_set_factor)
    age = cache.cache_ttl_seconds / cache.usual_cache_ttl_seconds
    kept = _kept_share(size) * _kept_share(age)
    cache.cache_hit_target = cache.usual_cache_hits * kept * (1.0 - cache.key_miss_share)


def find_size_for_hits(share: float) -> float:
    """Return the size, to the usual one, at which this share of the usual hits is left, ± 0.001."""
    low, high = 0.0, 1.0
    while high - low > 0.0005:
        middle = (low + high) * 0.5
        if _kept_share(middle) < share:
            low = middle
        else:
            high = middle
    return high


def _kept_share(size: float) -> float:
    """Return the share of the usual hits that is left: the first entries to go are asked least."""
    return 1.0 if size >= 1.0 else size * (2.0 - size)
