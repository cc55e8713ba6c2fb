"""Releases as a change log words them: those that break something and those that do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from firewatch_env.engine.catalogue import CATALOGUE
from firewatch_env.engine.effects import LEVERS
from firewatch_env.engine.service import Release, Setting
from openenv_kit.bitstream import BitStream

T = TypeVar("T")
# By family, some by kind of service too: what a build did, and what a revision did. {f} is the
# feature or the callee concerned.
WORDS: dict[str, tuple[str, str]] = {
    "errors": ("new parser for {f}", "default values for {f}: on → off"),
    "errors store": ("rows of {f} go through a new parser", "default values for {f}: on → off"),
    "refuse": ("new permission check for {f}", "access to {f}: everyone → staff"),
    "refuse store": ("new permission check on rows of {f}", "access to rows of {f}: all → staff"),
    "path": ("requests for {f} are routed to /v2", "route of {f}: /v1 → /v2"),
    "path store": ("rows of {f} take a new shard route", "shard route of {f}: s1 → s2"),
    "cpu": ("requests for {f} are scored by a new model", "compression level for {f}: 3 → 19"),
    "cpu store": ("rows of {f} are validated at every read", "compression level for {f}: 3 → 19"),
    "cpu proxy": ("headers of {f} match regular expressions", "compression level for {f}: 3 → 19"),
    "slots": ("worker pool sized by the pod's CPUs", "worker pool: 200 → {workers:.0f} threads"),
    "pods": ("index of {f} is built at start", "warm-up of {f}: 10 s → 1 h"),
    "grow": (
        "results for {f} are kept for reuse, copied to every pod",
        "results for {f} kept in memory: 1 min → 48 h",
    ),
    "fill": ("data of {f} is loaded into memory", "cache for {f}: 1,000 → 50,000 entries"),
    "heap": ("lookup table of {f} is held in memory", "table of {f}: on disk → in memory"),
    "limit": ("rate limiter for {f}", "rate limit for {f}: 400/s → 20/s"),
    "timeout": ("new client for {f}", "client timeout to {f}: 500 ms → {ms:.0f} ms"),
    "calls": ("one call to {f} for each item", "batch size to {f}: 50 → 1"),
    "tries": (
        "calls to {f} that fail are tried again",
        "tries of calls to {f}: 2 → 5, no pause",
    ),
    "hits": ("expiry of {f} is read as ms, was s", "time to live of {f}: 1 h → 1 s"),
    "hot": ("new balancing key for {f}", "balancing key of {f}: customer → country"),
    "hot store": ("new partition key for {f}", "partition key of {f}: customer → country"),
    "canary": ("canary on some pods: new parser", ""),
    "mixed": ("canary on some pods: new message format", ""),
    "environment": ("API key is read from the environment", ""),
    "rollout": ("pods request larger nodes", ""),
    "proxies": ("sidecar 1.8 → 1.9 on some pods", ""),
    "slots_switch": ("goes out in the green slot, traffic moved from blue", ""),
    "queries": ("items are loaded one by one", ""),
    "logging": ("", "log level: info → debug"),
    "cpu_limit": ("", "CPU limit: 4 → 1 cores"),
    "probes": ("", "readiness probe timeout: 2 s → 5 ms"),
    "role": ("", "writes need role 'writer'"),
    "denied": ("", "network policy: default allow → deny"),
    "certificate": ("", "certificate chain replaced"),
    "endpoint": ("", "endpoint list: moved to new hosts"),
    "small_cache": ("", "cache memory: 2 GB → 200 MB"),
}
FIXES: dict[str, tuple[str, str]] = {
    "errors": ("handle an empty field in {f}", "default values for {f}: off → on"),
    "errors data": ("handle an empty entry of {f}", "default values for {f}: off → on"),
    "path": ("requests for {f}: drop the dead route", "retire /v0 of {f}, route: /v0 → /v1"),
    "path data": ("drop the dead route to {f}", "retire shard s0 of {f}, route: s0 → s1"),
    "refuse": ("grant new customers access to {f}", "access to {f}: staff → everyone"),
    "refuse data": ("grant new services access to {f}", "access to {f}: staff → all services"),
    "calls": ("batch the calls to {f}", "batch size to {f}: 1 → 50"),
}
"""What a change says that mended such a fault, of a build and of a revision: by family, and some
for services that keep data."""
COSMETIC = {
    "build": "latency histogram for {f}; JSON library 2.14 → 2.15; old flag of {f} dropped; "
    "more spans around {f}; quieter logs for {f}; clearer error text for {f}; "
    "unused code of {f} deleted",
    "build data": "latency histogram for {f}; patch release, security fixes; "
    "more counters for {f}; quieter logs for {f}; checksums in snapshots of {f}; "
    "clearer error text for {f}; old snapshot format of {f} dropped",
    "revision": "log retention for {f}: 7 → 14 days; slow-request log of {f}: 1 s → 800 ms; "
    "metrics of {f}: every 60 s → 30 s; trace sampling of {f}: 1% → 2%; "
    "log format of {f}: text → JSON; usage report of {f}: weekly → daily",
    "revision data": "log retention for {f}: 7 → 14 days; slow-query log of {f}: 1 s → 800 ms; "
    "metrics of {f}: every 60 s → 30 s; snapshot of {f}: daily → every 12 h; "
    "log format of {f}: text → JSON; size report of {f}: weekly → daily",
}
"""What moves nothing, by the same."""
_DATA = ("store", "cache", "job")
"""Kinds of services that keep data."""
_MENDED = (("errors", 0.2, 0.4), ("path", 0.2, 0.4), ("refuse", 0.2, 0.4))
_MENDED_CALLS = (("calls", 4.0, 6.0),)


def guilty(
    service: str, lever: str, value: float, which: str, draws: BitStream, feature: str
) -> Release:
    """The settings of a release that breaks something; the tick is set by the caller."""
    family, _, channel = lever.partition(".")
    words = WORDS.get(f"{family} {CATALOGUE[service].kind}", WORDS[family])
    text = words[which == "revision"].format(f=channel, workers=200 * value, ms=500 * value)
    setting = Setting(lever, LEVERS[family].usual, value, text)
    settings = [setting]
    if draws.integer_below(2):
        settings.append(cosmetic(service, feature, which, draws))
    return release(0, which, tuple(settings), draws)


def _words(table: Mapping[str, T], key: str, service: str) -> T:
    """What a table has for this, or for a service that keeps data."""
    kept = f"{key} data" if CATALOGUE[service].kind in _DATA else key
    return table.get(kept, table[key])


def cosmetic(service: str, feature: str, which: str, draws: BitStream) -> Setting:
    """A change that moves nothing."""
    text = draws.choose(_words(COSMETIC, which, service).split("; "))
    return Setting("", 0.0, 0.0, text.format(f=feature))


def fix(
    service: str, which: str, channels: list[str], callees: list[str], draws: BitStream
) -> Setting:
    """A change that put something right: whoever takes it back has the old bug again."""
    if callees and CATALOGUE[service].kind == "app" and draws.integer_below(3) == 0:
        (family, low, high), channel = draws.choose(_MENDED_CALLS), draws.choose(callees)
    else:
        (family, low, high), channel = draws.choose(_MENDED), draws.choose(channels)
    text = _words(FIXES, family, service)[which == "revision"].format(f=channel)
    return Setting(f"{family}.{channel}", draws.uniform(low, high), LEVERS[family].usual, text)


def release(tick: int, which: str, settings: tuple[Setting, ...], draws: BitStream) -> Release:
    """A release with a version of its own."""
    if which == "build":
        major, minor, patch = (
            2 + draws.integer_below(7),
            draws.integer_below(20),
            1 + draws.integer_below(9),
        )
        before, version = f"{major}.{minor}.{patch - 1}", f"{major}.{minor}.{patch}"
    else:
        number = 101 + draws.integer_below(800)
        before, version = f"r{number - 1}", f"r{number}"
    return Release(tick, version, before, settings)
