"""What each family of levers makes a program write, and which status its requests end with.

`{f}` is the feature or the callee concerned, `{p}` a pod, `{w}` a client that is no customer,
`{r}` the release that did it (nothing where no release did).
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
        text, level: the log line; unless it says so, ERROR for a 500, else WARN.
        status: what its requests end with: 500, 403, 429, "no connection", or "" for none.
        zone_b: only zone b's pods have it.
        why: what happened when it began, where no release did it. A CPU limit is cut for a while
            only, until `{r}`: that starts a storm.
    """

    text: str
    status: str = ""
    zone_b: bool = False
    why: str = ""
    level: str = ""


LOST = "no connection"
SIGNS: dict[str, Sign] = {
    "errors": Sign("NullPointerException at Handler.java:{n} for {f}{r}", "500"),
    "stale_build": Sign("UnknownFieldException at Codec.java:{n}: record of a newer build", "500"),
    "stale_revision": Sign(
        "MissingSettingException at Settings.java:{n}: not in this config", "500"
    ),
    "leaders": Sign(
        "write conflict: two primaries take writes", "500", why="failover did not finish"
    ),
    "bad_keys": Sign(
        "checksum mismatch: replicas' keys diverged", "500", why="replication broke off"
    ),
    "bad_cache": Sign(
        "decode error: cache entry is corrupt", "500", why="a damaged snapshot was loaded"
    ),
    "bad_process": Sign(
        "IllegalStateException at Worker.java:{n}: index on the scratch volume is corrupt",
        "500",
        why="disk full while the index was written",
    ),
    "canary": Sign("NullPointerException at Handler.java:{n} on canary pods{r}", "500"),
    "mixed": Sign("ProtocolMismatchException: old and canary pods disagree{r}", "500"),
    "zone_lag": Sign(
        "read refused: replica in zone b lags by minutes", "500", True, "replay stopped in zone b"
    ),
    "minority": Sign(
        "no quorum: nodes in zone b see no majority",
        "500",
        True,
        "its nodes in zone b lost their link",
    ),
    "zone_fails": Sign(
        "I/O error on disks of its nodes in zone b", "500", True, "their disk controller was reset"
    ),
    "refuse": Sign("403 {f}: denied by access rule{r}", "403"),
    "clock": Sign(
        "403 token not yet valid: node clock is 190 s slow",
        "403",
        why="nodes were moved to other hosts",
    ),
    "role": Sign("403 write refused: client lacks role 'writer'{r}", "403"),
    "limit": Sign("429 {f}: rate limit reached{r}", "429"),
    "quota": Sign(
        "429 from provider: account quota per second exceeded",
        "429",
        why="provider lowered the quota",
    ),
    "path": Sign("connect failed: no host behind the route of {f}{r}", LOST),
    "denied": Sign("connection refused by network policy{r}", LOST),
    "certificate": Sign(
        "TLS handshake failed: intermediate certificate expired{r}", LOST, level="ERROR"
    ),
    "endpoint": Sign("connection refused: endpoint 10.0.7.12 is not up{r}", LOST, level="ERROR"),
    "stale_instances": Sign(
        "no route to host: registered instance 10.0.3.7 is gone, and others",
        LOST,
        why="autoscaler removed nodes",
    ),
    "proxies": Sign(
        "stream reset: protocol error between sidecars 1.8 and 1.9{r}", LOST, level="ERROR"
    ),
    "slots_switch": Sign("connection refused: no instance up in the blue slot{r}", LOST),
    "zone_lost": Sign(
        "connection timed out: pods in zone b unreachable",
        LOST,
        True,
        "switch of its nodes in zone b drops packets",
    ),
    "neighbour": Sign(
        "CPU steal is high on nodes in zone b, shared with another team's pods",
        "",
        True,
        "batch job of another team started",
    ),
    "cpu": Sign("slow request: most CPU time at Handler.java:{n} for {f}{r}"),
    "logging": Sign("request body follows (4 kB){r}", level="DEBUG"),
    "queries": Sign("slow request: one query for each item{r}"),
    "cpu_limit": Sign(
        "throttled by the container's CPU limit{r}",
        why="node maintenance, pods at 25% of their CPU until {r}",
    ),
    "slots": Sign("worker pool is full, timed out after 3000 ms{r}"),
    "blocked": Sign(
        "threads blocked at LockManager.java:{n}: lock file on the scratch volume",
        why="a process was killed and left its lock",
    ),
    "streams": Sign(
        "HTTP/2: limit of concurrent streams reached, none closed",
        why="peers went away without a reset",
    ),
    "reconnects": Sign(
        "accept queue full: clients reconnect all at once", why="all connections were cut"
    ),
    "pods": Sign("pod not ready: warm-up of {f} still running{r}"),
    "environment": Sign("start failed: environment variable API_KEY not set{r}", level="ERROR"),
    "cold": Sign(
        "pod not ready: data still loading, stalled at 3 %", why="pods were moved to new nodes"
    ),
    "probes": Sign("pod not ready: readiness probe timed out after 5 ms{r}"),
    "backoff": Sign(
        "CrashLoopBackOff, restarted every 5 min: exit code 1, stale lock on scratch volume",
        why="pods were killed at start",
        level="ERROR",
    ),
    "rollout": Sign("rollout stuck: new pods cannot be scheduled{r}"),
    "hot": Sign(
        "pod {p} gets more than its share of {f}{r}",
        why="a pod was lost, its sessions moved to pod {p}",
    ),
    "grow": Sign("memory in use up again, {f} retained{r}"),
    "leak": Sign(
        "memory leak: spool file on the scratch volume is replayed again",
        why="spool volume remounted after a disk error",
    ),
    "fill": Sign("data of {f} is loaded, up to the memory limit{r}", why="import of {f} is done"),
    "heap": Sign("table of {f} kept in memory{r}", why="{f}: reference data was loaded anew"),
    "orphans": Sign("response dropped: client closed the connection"),
    "hits": Sign("cache: entries of {f} expire before they are read{r}", level="INFO"),
    "cold_cache": Sign(
        "cache: cold after a restart, few keys loaded", why="nodes were upgraded", level="INFO"
    ),
    "small_cache": Sign("cache: memory full, evicting keys still in use{r}", level="INFO"),
    "pipeline": Sign("job stalled: most workers hang", why="a lock was not released"),
    "fallback": Sign(
        "circuit breaker open: answering without {f}", why="circuit to {f} forced open, no probes"
    ),
    "timeout": Sign("call to {f} timed out: deadline exceeded{r}"),
    "calls": Sign("call to {f}: batch of 1{r}", level="INFO"),
    "tries": Sign("call to {f} failed, attempt 3 after 0 ms{r}"),
    "bots": Sign("403 {w}: denied by access rule", "403", why="access rule for {w} was tightened"),
    "meter": Sign(
        "500 IllegalArgumentException at {c}.java:{n}, client {w}",
        "500",
        why="client {w} was updated",
    ),
}
SPELL = "cpu_limit"
ALL = "all requests"
TENANT = "the largest tenant"
_READERS = ("RequestParser", "BodyReader", "PageCursor", "FilterTerms")
_STRANGERS = (
    "partner-sync", "stock-audit", "report-export", "nightly-sync", "batch-import",
    "qa-checkout", "warehouse-export",
)  # fmt: skip


def stranger_of(service: Service) -> str:
    """The client of a service that is no customer."""
    return _STRANGERS[_number(service) % len(_STRANGERS)]


def describe(service: Service, lever: str, release: str = "") -> str:
    """How a lever that is off shows, in words."""
    head = family(lever)
    text = SIGNS[head].text
    if service.kind != "app":  # no classes of ours
        text = re.sub(r" at [\w{}]+\.java:\{n\}", "", text)
        text = text.replace("NullPointerException", "unexpected null")
        text = text.replace("IllegalArgumentException", "request parser failed")
    if head == "fill" and not fills_up(service):
        text = "cache of {f} has all its entries{r}"
    return _filled(service, lever, text, release)


def event(world: World, service: Service, lever: str) -> tuple[int, str] | None:
    """When something other than a release moved a lever, and what happened then; None if not."""
    ticks = sorted(
        tick
        for tick, moved in world.changes.items()
        for each in moved
        if tick <= world.tick and (each.service, each.lever) == (service.name, lever)
    )
    why = SIGNS[family(lever)].why
    if why and ticks:
        return ticks[0], _filled(service, lever, why, world.clock(ticks[-1]))
    return None


def began(world: World, service: Service, lever: str) -> str:
    """The same as part of a sentence."""
    found = event(world, service, lever)
    return f" since {world.clock(found[0])} ({found[1]})" if found else ""


def _filled(service: Service, lever: str, text: str, last: str) -> str:
    head, _, channel = lever.partition(".")
    return text.format(
        f=channel or (TENANT if head == "fill" else ALL),
        p=1 + _number(service) % service.pods,
        w=stranger_of(service),
        c=_READERS[_number(service) % len(_READERS)],
        n=40 + (_number(service) + 7 * len(head)) % 197,
        r=last,
    )


def fills_up(service: Service) -> bool:
    """Whether what grows in a service's heap reaches its limit."""
    return service.memory + service.heap + service.grow_cap >= service.memory_limit


def _number(service: Service) -> int:
    return crc32(service.name.encode()) + service.pods
