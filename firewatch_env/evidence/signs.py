"""What each family of levers makes a program write, and which status its requests end with.

`{f}` is the feature or the callee concerned, `{F}` the same as part of a class name, `{p}` a pod,
`{w}` a client that is no customer, `{r}` the release that did it (nothing where no release did).
"""

from __future__ import annotations

import re
from typing import NamedTuple
from zlib import crc32

from firewatch_env.engine.levers import family
from firewatch_env.engine.service import Service
from firewatch_env.engine.world import World


class Sign(NamedTuple):
    """How a lever that is off shows.

    Attributes:
        text, level: the log line.
        status: what its requests end with: 500, 403, 429, "no connection", or "" for none.
        zone_b: only zone b's pods have it.
        why: what happened when it began, where no release did it.
    """

    text: str
    status: str = ""
    level: str = "WARN"
    zone_b: bool = False
    why: str = ""


LOST = "no connection"
SIGNS: dict[str, Sign] = {
    "errors": Sign("NullPointerException at {F}Handler.java:88{r}", "500", "ERROR"),
    "stale_build": Sign("UnknownField at Codec.java:41: record of a newer build", "500", "ERROR"),
    "stale_revision": Sign(
        "MissingSetting at Settings.java:17: not in this config", "500", "ERROR"
    ),
    "leaders": Sign(
        "write conflict: two primaries take writes", "500", "ERROR", why="failover did not finish"
    ),
    "bad_keys": Sign(
        "checksum mismatch: replicas' keys diverged", "500", "ERROR", why="replication broke off"
    ),
    "bad_cache": Sign(
        "decode error: cache entry is corrupt", "500", "ERROR", why="loaded from a damaged snapshot"
    ),
    "bad_process": Sign(
        "IllegalState at Worker.java:301: index on the scratch volume is corrupt",
        "500",
        "ERROR",
        why="the disk was full while it was written",
    ),
    "canary": Sign("NullPointerException at Handler.java:88 on canary pods{r}", "500", "ERROR"),
    "mixed": Sign("ProtocolMismatch: old and canary pods disagree{r}", "500", "ERROR"),
    "zone_lag": Sign(
        "stale read: replica in zone b is behind", "500", "ERROR", True, "its replay stopped"
    ),
    "minority": Sign(
        "no quorum: nodes in zone b see no majority", "500", "ERROR", True, "their link broke"
    ),
    "zone_fails": Sign(
        "I/O error on zone b's disk array", "500", "ERROR", True, "its controller was reset"
    ),
    "refuse": Sign("403 {f}: denied by access rule{r}", "403"),
    "clock": Sign(
        "403 token not yet valid: node clock is 190 s slow",
        "403",
        why="nodes were moved to other hosts",
    ),
    "role": Sign("403 service account lacks role 'reader'{r}", "403"),
    "limit": Sign("429 {f}: rate limit reached{r}", "429"),
    "quota": Sign(
        "429 from provider: account quota per second exceeded", "429", why="the provider lowered it"
    ),
    "path": Sign("connection refused: no route for {f}{r}", LOST),
    "denied": Sign("connection refused by network policy{r}", LOST),
    "certificate": Sign("TLS handshake failed: intermediate certificate expired{r}", LOST, "ERROR"),
    "endpoint": Sign("connection refused: endpoint 10.0.7.12 is not up{r}", LOST, "ERROR"),
    "stale_instances": Sign(
        "connection refused: registered instance 10.0.3.7 is gone, and others",
        LOST,
        why="the autoscaler removed nodes",
    ),
    "proxies": Sign("stream reset: protocol error between sidecars 1.8 and 1.9{r}", LOST, "ERROR"),
    "slots_switch": Sign("connection refused: no instance up in the blue slot{r}", LOST),
    "zone_lost": Sign(
        "connection timed out: zone b unreachable",
        "no connection",
        "WARN",
        True,
        "its uplink loses packets",
    ),
    "neighbour": Sign(
        "CPU steal by another tenant on zone b's nodes", "", "WARN", True, "its batch job started"
    ),
    "cpu": Sign("slow request: most CPU time in {F}Handler.java:142{r}"),
    "logging": Sign("request body follows (4 kB){r}", "", "DEBUG"),
    "queries": Sign("slow request: one query for each item{r}"),
    "cpu_limit": Sign("throttled by the container's CPU limit{r}"),
    "slots": Sign("worker pool for {f} is full, timed out after 3000 ms{r}"),
    "blocked": Sign(
        "threads blocked at LockManager.java:77: lock file on the scratch volume",
        why="a killed process left it",
    ),
    "streams": Sign(
        "HTTP/2: limit of concurrent streams reached, none closed",
        why="peers went away without a reset",
    ),
    "reconnects": Sign(
        "accept queue full: clients reconnect all at once", why="connections were cut"
    ),
    "pods": Sign("pod not ready: warm-up of {f} still running{r}"),
    "environment": Sign("start failed: environment variable API_KEY not set{r}", "", "ERROR"),
    "cold": Sign(
        "pod not ready: data still loading, stalled at 3 %", why="pods were moved to new nodes"
    ),
    "probes": Sign("pod not ready: readiness probe timed out after 5 ms{r}"),
    "backoff": Sign(
        "CrashLoopBackOff: exit code 1, stale lock on scratch volume, retry in 5 min",
        "",
        "ERROR",
        why="pods were killed at start",
    ),
    "rollout": Sign("rollout stuck: new pods cannot be scheduled{r}"),
    "hot": Sign(
        "pod {p} gets more than its share of {f}{r}",
        why="a pod was lost and its sessions went there",
    ),
    "grow": Sign("memory in use up again, {f} retained{r}"),
    "leak": Sign(
        "memory leak: spool file on the scratch volume is replayed again",
        why="a record in it cannot be read",
    ),
    "fill": Sign(
        "data of {f} does not fit under the memory limit{r}", why="an import made it larger"
    ),
    "heap": Sign("table of {f} kept in memory{r}", why="it was loaded anew"),
    "orphans": Sign("response dropped: client closed the connection"),
    "hits": Sign("cache: entries of {f} expire before they are read{r}", "", "INFO"),
    "cold_cache": Sign(
        "cache: cold after a restart, few keys loaded", "", "INFO", why="its nodes were upgraded"
    ),
    "small_cache": Sign("cache: memory full, evicting keys still in use{r}", "", "INFO"),
    "pipeline": Sign("job stalled: most workers hang", why="a lock was never released"),
    "fallback": Sign("circuit breaker open: answering without {f}", why="forced open, no probes"),
    "timeout": Sign("call to {f} timed out: deadline exceeded{r}"),
    "calls": Sign("call to {f}: batch of 1{r}", "", "INFO"),
    "tries": Sign("call to {f} failed, attempt 3 after 0 ms{r}"),
    "bots": Sign("403 {w}: denied by access rule", "403", why="its token was withdrawn"),
    "meter": Sign(
        "500 IllegalArgument at RequestParser.java:57, client {w}",
        "500",
        "ERROR",
        why="its owner changed it",
    ),
}
# Of programs that are no applications, where more than a class's name differs.
_PLAIN = {"errors": "unexpected null in {f}{r}", "cpu": "slow request: most CPU time on {f}{r}"}
ALL = "all requests"
TENANT = "the largest tenant"
_STEADY_CACHE = "cache of {f} has all its entries{r}"
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
    if service.kind != "app":
        text = _PLAIN.get(head, re.sub(r" at \w+\.java:\d+", "", text))
    if head == "fill" and not fills_up(service):
        text = _STEADY_CACHE
    return text.format(
        f=channel or (TENANT if head == "fill" else ALL),
        F="".join(part.capitalize() for part in channel.replace("-", " ").split()),
        p=1 + _number(service) % service.pods,
        w=stranger_of(service),
        r=release,
    )


def began(world: World, service: Service, lever: str) -> str:
    """Since when a lever is off and what happened then; nothing where a release moved it."""
    why, ticks = SIGNS[family(lever)].why, _moved(world, service, lever)
    return f" since {world.clock(ticks[-1])}: {why}" if why and ticks else ""


def squeezed(world: World, service: Service) -> list[tuple[int, str]]:
    """When its pods had little CPU for a while, which is what starts a storm, and for how long."""
    if not (ticks := _moved(world, service, "cpu_limit")):
        return []
    until = world.clock(ticks[-1])
    return [(ticks[0], f"node maintenance, pods at 25% of their CPU until {until}")]


def _moved(world: World, service: Service, lever: str) -> list[int]:
    """The ticks in which something other than a release moved a lever."""
    return sorted(
        tick
        for tick, moved in world.changes.items()
        for each in moved
        if tick <= world.tick and (each.service, each.lever) == (service.name, lever)
    )


def fills_up(service: Service) -> bool:
    """Whether what grows in a service's heap reaches its limit."""
    return service.memory + service.heap + service.grow_cap >= service.memory_limit


def _number(service: Service) -> int:
    return crc32(service.name.encode()) + service.pods
