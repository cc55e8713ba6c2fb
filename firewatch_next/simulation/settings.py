"""Configuration keys with an effect, and how their text becomes a field of the service.

`Service.settings` holds every key as text. Keys that are not handled here are listed by the
diagnostics and do nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from firewatch_next.simulation.caches import update_hit_target
from firewatch_next.simulation.service import BreakerState, Service, ServiceKind

BYTES_PER_MEGABYTE = 1_000_000.0


def _set_memory_limit(service: Service, value: float) -> None:
    service.memory_limit_bytes = value * BYTES_PER_MEGABYTE


def _set_cpu_cores(service: Service, value: float) -> None:
    service.cpu_cores = value


def _set_threads(service: Service, value: float) -> None:
    service.threads = int(value)


def _set_queue_length(service: Service, value: float) -> None:
    service.queue_length = int(value)


def _set_rate_limit(service: Service, value: float) -> None:
    service.rate_limit = value


def _set_cache_megabytes(service: Service, value: float) -> None:
    service.cache_megabytes = value
    update_hit_target(service)


def _set_cache_ttl(service: Service, value: float) -> None:
    service.cache_ttl_seconds = value
    update_hit_target(service)


RESTARTING_KEYS: dict[str, Callable[[Service, float], None]] = {
    "memory_limit_mb": _set_memory_limit,
    "cpu_cores": _set_cpu_cores,
    "threads": _set_threads,
}
RELOADED_KEYS: dict[str, Callable[[Service, float], None]] = {
    "queue_length": _set_queue_length,
    "rate_limit": _set_rate_limit,
    "cache_mb": _set_cache_megabytes,
    "cache_ttl_s": _set_cache_ttl,
}
# These are followed by a dot and the callee's name.
CLIENT_KEYS = ("pool_size", "timeout_ms", "max_attempts", "breaker")
FORCED_OPEN = "forced_open"  # value of a breaker that somebody has opened by hand


def apply_setting(service: Service, key: str, value: str) -> bool:
    """Store a setting and change the field that depends on it.

    Returns:
        Whether the pods have to restart before the setting is complete.

    Raises:
        ValueError: if the key has an effect and the value is not a number.
    """
    service.settings[key] = value
    name, _, callee = key.partition(".")
    if key in RESTARTING_KEYS:
        RESTARTING_KEYS[key](service, float(value))
        return True
    if key in RELOADED_KEYS:
        RELOADED_KEYS[key](service, float(value))
    elif name in CLIENT_KEYS and callee:
        client = service.client_of(callee)
        if name == "breaker":
            client.breaker = BreakerState.OPEN if value == FORCED_OPEN else BreakerState.CLOSED
        elif name == "pool_size":
            client.pool_size = int(value)
        elif name == "timeout_ms":
            client.timeout_seconds = float(value) / 1000.0
        else:
            client.max_attempts = int(value)
    return False


def format_number(value: float) -> str:
    """Return a setting's value as text: without decimals if it is a whole number."""
    return str(int(value)) if value == int(value) else str(round(value, 3))


def list_effective_settings(service: Service) -> dict[str, str]:
    """Return the keys with an effect and their values, computed from the service's fields."""
    settings = {
        "memory_limit_mb": format_number(service.memory_limit_bytes / BYTES_PER_MEGABYTE),
        "cpu_cores": format_number(service.cpu_cores),
        "threads": format_number(service.threads),
        "queue_length": format_number(service.queue_length),
        "rate_limit": format_number(service.rate_limit),
    }
    if service.kind is ServiceKind.CACHE:
        settings["cache_mb"] = format_number(service.cache_megabytes)
        settings["cache_ttl_s"] = format_number(service.cache_ttl_seconds)
    for client in service.clients:
        settings[f"pool_size.{client.callee}"] = format_number(client.pool_size)
        settings[f"timeout_ms.{client.callee}"] = format_number(
            round(client.timeout_seconds * 1000.0, 1)
        )
        settings[f"max_attempts.{client.callee}"] = format_number(client.max_attempts)
    return settings
