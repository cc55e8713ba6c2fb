"""What each family of levers makes a program write, and which status its requests end with.

`{f}` is the feature or the callee concerned, `{F}` the same as part of a class name, `{p}` a pod,
`{w}` a client that is no customer, `{r}` the release that did it (nothing where no release did).
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

from firewatch_env.engine.service import Service


class Sign(NamedTuple):
    """How a lever that is off shows.

    Attributes:
        status: what its requests end with: 500, 403, 429, "no connection", or "" for none.
        level, text: the log line.
        zone_b: only zone b's pods have it.
    """

    status: str
    level: str
    text: str
    zone_b: bool = False


LOST = "no connection"
SIGNS: dict[str, Sign] = {
    "errors": Sign("500", "ERROR", "NullPointerException at {F}Handler.java:88{r}"),
    "stale_build": Sign("500", "ERROR", "UnknownField at Codec.java:41: record of a newer build"),
    "stale_revision": Sign(
        "500", "ERROR", "MissingSetting at Settings.java:17: not in this config"
    ),
    "leaders": Sign("500", "ERROR", "WriteConflict at Replica.java:212: two primaries take writes"),
    "bad_keys": Sign("500", "ERROR", "ChecksumMismatch at Store.java:133: replicas' keys diverged"),
    "bad_cache": Sign("500", "ERROR", "DecodeError at Entry.java:59: cache entry is corrupt"),
    "bad_process": Sign(
        "500", "ERROR", "IllegalState at Worker.java:301: in-memory state is corrupt"
    ),
    "canary": Sign("500", "ERROR", "NullPointerException at Handler.java:88 on canary pods{r}"),
    "mixed": Sign("500", "ERROR", "ProtocolMismatch: old and canary pods disagree{r}"),
    "zone_lag": Sign("500", "ERROR", "StaleRead: replica in zone b is 340 s behind", True),
    "minority": Sign("500", "ERROR", "NoQuorum: nodes in zone b see no majority", True),
    "zone_fails": Sign("500", "ERROR", "I/O error on local disk, node b-3", True),
    "refuse": Sign("403", "WARN", "403 {f}: denied by access rule{r}"),
    "clock": Sign("403", "WARN", "403 token not yet valid: node clock is 190 s slow"),
    "role": Sign("403", "WARN", "403 service account lacks role 'reader'{r}"),
    "limit": Sign("429", "WARN", "429 {f}: rate limit reached{r}"),
    "quota": Sign("429", "WARN", "429 from provider: account quota used up"),
    "path": Sign(LOST, "WARN", "connection refused: no route for {f}{r}"),
    "denied": Sign(LOST, "WARN", "connection refused by network policy{r}"),
    "certificate": Sign(LOST, "ERROR", "TLS handshake failed: intermediate certificate expired{r}"),
    "endpoint": Sign(LOST, "ERROR", "connection refused: endpoint list names a dead host{r}"),
    "stale_instances": Sign(
        LOST, "WARN", "connection refused: registered instance 10.0.3.7 is gone"
    ),
    "proxies": Sign(LOST, "ERROR", "stream reset: sidecars 1.8 and 1.9 do not agree{r}"),
    "slots_switch": Sign(
        LOST, "WARN", "connection refused: blue slot is shut down, still in use{r}"
    ),
    "zone_lost": Sign(LOST, "WARN", "connection timed out: zone b unreachable", True),
    "neighbour": Sign("", "WARN", "slow: CPU stolen by another tenant of node b-2", True),
    "cpu": Sign("", "WARN", "slow: most of the CPU goes to {F}Handler.java:142{r}"),
    "logging": Sign("", "DEBUG", "request body follows (4 kB){r}"),
    "queries": Sign("", "WARN", "slow: one query for each item, not one for all{r}"),
    "cpu_limit": Sign("", "WARN", "throttled by the container's CPU limit{r}"),
    "slots": Sign("", "WARN", "connection pool for {f} is full, timed out after 3000 ms{r}"),
    "blocked": Sign("", "WARN", "threads blocked at LockManager.java:77"),
    "streams": Sign("", "WARN", "HTTP/2: concurrent streams are left open"),
    "reconnects": Sign("", "WARN", "clients reconnect all at once, handshakes hold connections"),
    "pods": Sign("", "WARN", "pod not ready: warm-up of {f} does not finish{r}"),
    "environment": Sign("", "ERROR", "start failed: environment variable API_KEY not set{r}"),
    "cold": Sign("", "WARN", "pod not ready: data still loading, 3 %"),
    "probes": Sign("", "WARN", "pod not ready: readiness probe timed out after 5 ms{r}"),
    "backoff": Sign(
        "", "ERROR", "CrashLoopBackOff: exit code 1, last log: lock file is stale; retry in 5 min"
    ),
    "rollout": Sign("", "WARN", "rollout stuck: new pods cannot be scheduled{r}"),
    "hot": Sign("", "WARN", "pod {p} gets more than its share of {f}{r}"),
    "grow": Sign("", "WARN", "heap grows: objects of {f} are never freed{r}"),
    "leak": Sign("", "WARN", "heap grows: memory leak in request buffers"),
    "fill": Sign("", "WARN", "heap: data of {f} needs more than the memory limit leaves{r}"),
    "heap": Sign("", "WARN", "heap: table of {f} kept in memory{r}"),
    "orphans": Sign("", "WARN", "working on requests whose callers have given up"),
    "hits": Sign("", "INFO", "cache: hardly a hit on {f}, entries expire at once{r}"),
    "cold_cache": Sign("", "INFO", "cache: cold after a restart, few keys loaded"),
    "small_cache": Sign("", "INFO", "cache: memory full, evicting keys still in use{r}"),
    "pipeline": Sign("", "WARN", "job stalled: items wait, workers hang"),
    "fallback": Sign("", "WARN", "circuit breaker open: answering without {f}"),
    "timeout": Sign("", "WARN", "{f} timed out: deadline shorter than its usual answer{r}"),
    "calls": Sign("", "INFO", "batch of 1: one call to {f} for each item{r}"),
    "tries": Sign("", "WARN", "{f} failed, trying again at once{r}"),
    "bots": Sign("403", "INFO", "403 client={w}: not allowed in production"),
    "meter": Sign("500", "WARN", "500 client={w}: cannot parse its request"),
}
ALL = "all requests"
_STEADY_CACHE = "heap: cache of {f} is full, nothing more is added{r}"
_STRANGERS = (
    "k6-load-test", "staging-replay", "shadow-traffic", "loadgen-eu", "perf-lab",
    "capacity-test", "mirror-canary",
)  # fmt: skip


def stranger(service: Service) -> str:
    """The client of a service that asks in vain and is no customer."""
    return _STRANGERS[_number(service) % len(_STRANGERS)]


def describe(service: Service, lever: str, release: str = "") -> str:
    """How a lever that is off shows, in words."""
    head, _, channel = lever.partition(".")
    text = SIGNS[head].text
    if head == "fill" and not fills_up(service):
        text = _STEADY_CACHE
    return text.format(
        f=channel or ALL,
        F="".join(part.capitalize() for part in channel.replace("-", " ").split()),
        p=1 + _number(service) % service.pods,
        w=stranger(service),
        r=release,
    )


def fills_up(service: Service) -> bool:
    """Whether what grows in a service's heap reaches its limit."""
    return service.memory + service.heap + service.grow_cap >= service.memory_limit


def _number(service: Service) -> int:
    return crc32(service.name.encode()) + service.pods
