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
    zone_b: bool


LOST = "no connection"
# family status level text; "lost" for no connection, "@b" where only zone b's pods have it
_TABLE = """
errors 500 ERROR NullPointerException at {F}Handler.java:88{r}
stale_build 500 ERROR UnknownField at Codec.java:41: record of a newer build
stale_revision 500 ERROR MissingSetting at Settings.java:17: not in this config
leaders 500 ERROR WriteConflict at Replica.java:212: two primaries take writes
bad_keys 500 ERROR ChecksumMismatch at Store.java:133: replicas' keys diverged
bad_cache 500 ERROR DecodeError at Entry.java:59: cache entry is corrupt
bad_process 500 ERROR IllegalState at Worker.java:301: index on the scratch volume is corrupt
canary 500 ERROR NullPointerException at Handler.java:88 on canary pods{r}
mixed 500 ERROR ProtocolMismatch: old and canary pods disagree{r}
zone_lag 500@b ERROR StaleRead: replica in zone b is 340 s behind
minority 500@b ERROR NoQuorum: nodes in zone b see no majority
zone_fails 500@b ERROR I/O error on local disk, node b-3
refuse 403 WARN 403 {f}: denied by access rule{r}
clock 403 WARN 403 token not yet valid: node clock is 190 s slow
role 403 WARN 403 service account lacks role 'reader'{r}
limit 429 WARN 429 {f}: rate limit reached{r}
quota 429 WARN 429 from provider: account quota per second exceeded
path lost WARN connection refused: no route for {f}{r}
denied lost WARN connection refused by network policy{r}
certificate lost ERROR TLS handshake failed: intermediate certificate expired{r}
endpoint lost ERROR connection refused: endpoint 10.0.7.12 is not up{r}
stale_instances lost WARN connection refused: registered instance 10.0.3.7 is gone
proxies lost ERROR stream reset: protocol error between sidecars 1.8 and 1.9{r}
slots_switch lost WARN connection refused: no instance up in the blue slot{r}
zone_lost lost@b WARN connection timed out: zone b unreachable
neighbour -@b WARN CPU steal by another tenant of node b-2
cpu - WARN slow request: most CPU time in {F}Handler.java:142{r}
logging - DEBUG request body follows (4 kB){r}
queries - WARN slow request: one query for each item{r}
cpu_limit - WARN throttled by the container's CPU limit{r}
slots - WARN connection pool for {f} is full, timed out after 3000 ms{r}
blocked - WARN threads blocked at LockManager.java:77: lock file on the scratch volume
streams - WARN HTTP/2: limit of concurrent streams reached, none closed
reconnects - WARN accept queue full: clients reconnect all at once
pods - WARN pod not ready: warm-up of {f} still running{r}
environment - ERROR start failed: environment variable API_KEY not set{r}
cold - WARN pod not ready: data still loading, 3 %
probes - WARN pod not ready: readiness probe timed out after 5 ms{r}
backoff - ERROR CrashLoopBackOff: exit code 1, stale lock on scratch volume; retry in 5 min
rollout - WARN rollout stuck: new pods cannot be scheduled{r}
hot - WARN pod {p} gets more than its share of {f}{r}
grow - WARN GC: old generation up again, {f} retained{r}
leak - WARN GC: memory leak, spool file on the scratch volume is replayed again
fill - WARN GC: data of {f} does not fit under the memory limit{r}
heap - WARN heap: table of {f} kept in memory{r}
orphans - WARN response dropped: client closed the connection
hits - INFO cache: entries of {f} expire before they are read{r}
cold_cache - INFO cache: cold after a restart, few keys loaded
small_cache - INFO cache: memory full, evicting keys still in use{r}
pipeline - WARN job stalled: most workers hang
fallback - WARN circuit breaker open: answering without {f}
timeout - WARN call to {f} timed out: deadline exceeded{r}
calls - INFO call to {f}: batch of 1{r}
tries - WARN call to {f} failed, attempt 3 after 0 ms{r}
bots 403 WARN 403 {w}: denied by access rule
meter 500 ERROR 500 IllegalArgument at RequestParser.java:57, client {w}
"""


def _parse(line: str) -> tuple[str, Sign]:
    family, status, level, text = line.split(" ", 3)
    status, _, zone = status.partition("@")
    ending = {"-": "", "lost": LOST}.get(status, status)
    return family, Sign(ending, level, text, zone == "b")


SIGNS = dict(map(_parse, _TABLE.strip().splitlines()))
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
