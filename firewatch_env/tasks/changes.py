"""Releases as a change log words them: those that break something and those that do not."""

from __future__ import annotations

from firewatch_env.engine.catalogue import CATALOGUE
from firewatch_env.engine.effects import LEVERS
from firewatch_env.engine.service import Release, Setting
from openenv_kit.bitstream import BitStream

# By family, some by kind of service too: what a build did, and what a revision did. {f} is the
# feature or the callee concerned.
WORDS: dict[str, tuple[str, str]] = {
    "errors": ("new parser for {f}", "default values for {f}: on → off"),
    "refuse": ("new permission check for {f}", "access to {f}: everyone → staff"),
    "path": ("calls for {f} take route /v2", "route of {f}: /v1 → /v2"),
    "cpu": ("results for {f} are ranked by a new model", "compression level for {f}: 3 → 19"),
    "cpu store": ("rows of {f} are validated at every read", "compression level for {f}: 3 → 19"),
    "cpu proxy": ("headers of {f} match regular expressions", "compression level for {f}: 3 → 19"),
    "slots": ("a worker pool of its own for {f}", "worker pool for {f}: 200 → {workers:.0f}"),
    "pods": ("index of {f} is built at start", "warm-up of {f}: 10 s → 1 h"),
    "grow": ("results for {f} are kept for reuse", "results for {f} kept in memory: 1 min → 48 h"),
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
    "hot": ("new partition key for {f}", "partition key of {f}: customer → country"),
    "canary": ("canary on some pods: new parser", ""),
    "mixed": ("canary on some pods: new message format", ""),
    "environment": ("API key is read from the environment", ""),
    "rollout": ("pods ask for larger nodes", ""),
    "proxies": ("sidecar 1.8 → 1.9 on some pods", ""),
    "slots_switch": ("goes out in the green slot, traffic moved from blue", ""),
    "queries": ("items are loaded one by one", ""),
    "logging": ("", "log level: info → debug"),
    "cpu_limit": ("", "CPU limit: 4 → 1 cores"),
    "probes": ("", "readiness probe timeout: 2 s → 5 ms"),
    "role": ("", "service account moved to another role"),
    "denied": ("", "network policy: default allow → deny"),
    "certificate": ("", "certificate chain replaced"),
    "endpoint": ("", "endpoint list: moved to new hosts"),
    "small_cache": ("", "cache memory: 2 GB → 200 MB"),
}
FIXES: dict[str, tuple[str, str]] = {
    "errors": (
        "handle an empty address in {f}", "default values for {f} back: off → on",
    ),
    "path": ("calls for {f}: drop the dead route", "retire /v0 of {f}, route: /v0 → /v1"),
    "refuse": (
        "let new customers have access to {f}", "access to {f}: staff → everyone",
    ),
    "calls": ("batch the calls to {f}", "batch size to {f}: 1 → 50"),
}  # fmt: skip
"""What a change says that mended such a fault, by family: of a build, and of a revision."""
COSMETIC: dict[str, tuple[str, ...]] = {
    "build": (
        "latency histogram for {f}", "bump the JSON library in {f}", "drop old {f} flag",
        "more spans around {f}", "quieter logs for {f}", "typo in the {f} error text",
        "flaky {f} test rewritten",
    ),
    "revision": (
        "log retention for {f}: 7 → 14 days", "alert on slow {f}: 1 s → 800 ms",
        "on-call for {f}: weekly → daily rota", "trace sampling of {f}: 1% → 2%",
        "alerts on {f} go to the team's channel", "dashboard labels for {f}",
    ),
}  # fmt: skip
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
    if draws.below(2):
        settings.append(cosmetic(feature, which, draws))
    return release(0, which, tuple(settings), draws)


def cosmetic(feature: str, which: str, draws: BitStream) -> Setting:
    """A change that moves nothing."""
    return Setting("", 0.0, 0.0, draws.pick(COSMETIC[which]).format(f=feature))


def fix(
    service: str, which: str, channels: list[str], callees: list[str], draws: BitStream
) -> Setting:
    """A change that put something right: whoever takes it back has the old bug again."""
    if callees and CATALOGUE[service].kind == "app" and draws.below(3) == 0:
        (family, low, high), channel = draws.pick(_MENDED_CALLS), draws.pick(callees)
    else:
        (family, low, high), channel = draws.pick(_MENDED), draws.pick(channels)
    text = FIXES[family][which == "revision"].format(f=channel)
    return Setting(f"{family}.{channel}", draws.uniform(low, high), LEVERS[family].usual, text)


def release(tick: int, which: str, settings: tuple[Setting, ...], draws: BitStream) -> Release:
    """A release with a version of its own."""
    if which == "build":
        major, minor, patch = 2 + draws.below(7), draws.below(20), 1 + draws.below(9)
        before, version = f"{major}.{minor}.{patch - 1}", f"{major}.{minor}.{patch}"
    else:
        number = 101 + draws.below(800)
        before, version = f"r{number - 1}", f"r{number}"
    return Release(tick, version, before, settings)
