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
        "500", "ERROR", "IllegalState at Worker.java:301: index on the scratch volume is corrupt"
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
    "quota": Sign("429", "WARN", "429 from provider: account quota per second exceeded"),
    "path": Sign(LOST, "WARN", "connection refused: no route for {f}{r}"),
    "denied": Sign(LOST, "WARN", "connection refused by network policy{r}"),
    "certificate": Sign(LOST, "ERROR", "TLS handshake failed: intermediate certificate expired{r}"),
    "endpoint": Sign(LOST, "ERROR", "connection refused: endpoint 10.0.7.12 is not up{r}"),
    "stale_instances": Sign(
        LOST, "WARN", "connection refused: registered instance 10.0.3.7 is gone"
    ),
    "proxies": Sign(LOST, "ERROR", "stream reset: protocol error between sidecars 1.8 and 1.9{r}"),
    "slots_switch": Sign(LOST, "WARN", "connection refused: no instance up in the blue slot{r}"),
    "zone_lost": Sign(LOST, "WARN", "connection timed out: zone b unreachable", True),
    "neighbour": Sign("", "WARN", "CPU steal by another tenant of node b-2", True),
    "cpu": Sign("", "WARN", "slow request: most CPU time in {F}Handler.java:142{r}"),
    "logging": Sign("", "DEBUG", "request body follows (4 kB){r}"),
    "queries": Sign("", "WARN", "slow request: one query for each item{r}"),
    "cpu_limit": Sign("", "WARN", "throttled by the container's CPU limit{r}"),
    "slots": Sign("", "WARN", "connection pool for {f} is full, timed out after 3000 ms{r}"),
    "blocked": Sign(
        "", "WARN", "threads blocked at LockManager.java:77: lock file on the scratch volume"
    ),
    "streams": Sign("", "WARN", "HTTP/2: limit of concurrent streams reached, none closed"),
    "reconnects": Sign("", "WARN", "accept queue full: clients reconnect all at once"),
    "pods": Sign("", "WARN", "pod not ready: warm-up of {f} still running{r}"),
    "environment": Sign("", "ERROR", "start failed: environment variable API_KEY not set{r}"),
    "cold": Sign("", "WARN", "pod not ready: data still loading, 3 %"),
    "probes": Sign("", "WARN", "pod not ready: readiness probe timed out after 5 ms{r}"),
    "backoff": Sign(
        "", "ERROR", "CrashLoopBackOff: exit code 1, stale lock on scratch volume; retry in 5 min"
    ),
    "rollout": Sign("", "WARN", "rollout stuck: new pods cannot be scheduled{r}"),
    "hot": Sign("", "WARN", "pod {p} gets more than its share of {f}{r}"),
    "grow": Sign("", "WARN", "GC: old generation up again, {f} retained{r}"),
    "leak": Sign("", "WARN", "GC: memory leak, spool file on the scratch volume is replayed again"),
    "fill": Sign("", "WARN", "GC: data of {f} does not fit under the memory limit{r}"),
    "heap": Sign("", "WARN", "heap: table of {f} kept in memory{r}"),
    "orphans": Sign("", "WARN", "response dropped: client closed the connection"),
    "hits": Sign("", "INFO", "cache: entries of {f} expire before they are read{r}"),
    "cold_cache": Sign("", "INFO", "cache: cold after a restart, few keys loaded"),
    "small_cache": Sign("", "INFO", "cache: memory full, evicting keys still in use{r}"),
    "pipeline": Sign("", "WARN", "job stalled: most workers hang"),
    "fallback": Sign("", "WARN", "circuit breaker open: answering without {f}"),
    "timeout": Sign("", "WARN", "call to {f} timed out: deadline exceeded{r}"),
    "calls": Sign("", "INFO", "call to {f}: batch of 1{r}"),
    "tries": Sign("", "WARN", "call to {f} failed, attempt 3 after 0 ms{r}"),
    "bots": Sign("403", "WARN", "403 {w}: denied by access rule"),
    "meter": Sign("500", "ERROR", "500 IllegalArgument at RequestParser.java:57, client {w}"),
}
ALL = "all requests"
TENANT = "the largest tenant"
_STEADY_CACHE = "heap: cache of {f} has all its entries{r}"
_STRANGERS = (
    "partner-sync", "stock-audit", "report-export", "nightly-sync", "batch-import",
    "qa-checkout", "warehouse-export",
)  # fmt: skip


def stranger_of(service: Service) -> str:
    """The client of a service that is no customer."""
    return _STRANGERS[_number(service) % len(_STRANGERS)]


def describe(service: Service, lever: str, release: str = "") -> str:
    """How a lever that is off shows, in words."""
    head, _, channel = lever.partition(".")
    text = SIGNS[head].text
    if head == "fill" and not fills_up(service):
        text = _STEADY_CACHE
    return text.format(
        f=channel or (TENANT if head == "fill" else ALL),
        F="".join(part.capitalize() for part in channel.replace("-", " ").split()),
        p=1 + _number(service) % service.pods,
        w=stranger_of(service),
        r=release,
    )


def fills_up(service: Service) -> bool:
    """Whether what grows in a service's heap reaches its limit."""
    return service.memory + service.heap + service.grow_cap >= service.memory_limit


def _number(service: Service) -> int:
    return crc32(service.name.encode()) + service.pods
