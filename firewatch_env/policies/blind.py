"""Players that do not look: what they earn shows what the score gives away."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from firewatch_env.actions import ACTIONS
from firewatch_env.engine.motion import EASE
from firewatch_env.engine.randomness import BitStream
from firewatch_env.policies.keyword_rules import ranked
from firewatch_env.policies.seen import Script, Seen, order

FIVE = (
    "restart_service", "rollback_deploy", "revert_config", "scale_replicas", "traffic_shift",
)  # fmt: skip
Choose = Callable[[Seen], str]


def null(seen: Seen) -> Script:
    """Look at the same meters until time is up."""
    while True:
        seen = yield order("get_metrics_detail", seen.entries[0])


def declare_at_once(seen: Seen) -> Script:
    """Say that it is over without having looked."""
    del seen
    yield order("declare_resolved")


def random_player(seed: int = 0) -> Callable[[Seen], Script]:
    """Any action on any service."""

    def play(seen: Seen) -> Script:
        draws = BitStream(f"firewatch/random/{seed}/{sorted(seen.graph)}")
        names = [name for name in sorted(ACTIONS) if name != "declare_resolved"]
        while True:
            seen = yield order(draws.pick(names), draws.pick(sorted(seen.graph)))

    return play


def worst_error(seen: Seen) -> str:
    """The service with the most errors of its own."""
    return _most(
        seen, lambda v: (v["http_server_error_rate"], v["http_server_request_duration_p99"])
    )


def worst_status(seen: Seen) -> str:
    """The service that looks worst from outside."""
    return _most(seen, _looks)


def _looks(view: dict[str, Any]) -> tuple[Any, ...]:
    """How bad a service looks from outside."""
    rank = ("healthy", "degraded", "critical", "down").index(view["status"])
    return rank, view["http_server_error_rate"], view["http_server_request_duration_p99"]


def fullest(seen: Seen) -> str:
    """The service with the highest use of CPU or memory."""
    return _most(
        seen, lambda v: (max(v["process_cpu_utilization"], v["process_memory_utilization"]),)
    )


def client_root(seen: Seen) -> str:
    """The root as existing clients rank it."""
    ranks = ranked(seen)
    return ranks[0] if ranks else worst_error(seen)


def first_alert(seen: Seen) -> str:
    """The service of the worst alert."""
    return str(seen.alerts[0]["service_name"]) if seen.alerts else worst_error(seen)


def _most(seen: Seen, key: Callable[[dict[str, Any]], tuple[Any, ...]]) -> str:
    return max(sorted(seen.services), key=lambda name: key(seen.services[name]))


PLACES: dict[str, Choose] = {
    "error": worst_error, "status": worst_status, "use": fullest, "ranked root": client_root,
    "alert": first_alert,
}  # fmt: skip


def spray(
    choose: Choose, fixes: Sequence[str] = FIVE, *, until_well: bool = False
) -> Callable[[Seen], Script]:
    """Blind fixes on one service, chosen once; then a wait, then the declaration.

    Args:
        choose: picks the service from the first observation.
        fixes: what is done to it, in order.
        until_well: stop as soon as customers are served.
    """

    def play(seen: Seen) -> Script:
        target = choose(seen)
        for fix in fixes:
            seen = yield order(fix, target)
            for _ in range(2 if until_well else 0):
                if seen.burn == 0:
                    break
                seen = yield order("get_metrics_detail", target)
            if until_well and seen.burn == 0:
                break
        for _ in range(4):
            seen = yield order("get_metrics_detail", target)
        yield order("declare_resolved")

    return play


def doubled(acts: tuple[str, str], pattern: str) -> Callable[[Seen], Script]:
    """Read changes, worst status first; where both releases name one key, undo one, or the other.

    Args:
        acts: the two repairs, in order.
        pattern: what of a setting must be in both, in one group.
    """

    def play(seen: Seen) -> Script:
        for name in sorted(seen.services, key=lambda each: _looks(seen.services[each]))[::-1]:
            seen = yield order("inspect_commit_diff", name)
            build, _, revision = seen.feedback.partition(" | rev ")
            if not set(re.findall(pattern, build)) & set(re.findall(pattern, revision)):
                continue
            before = seen.burn
            for act in acts:
                seen = yield order(act, name)
                for _ in range(EASE):
                    seen = yield order("get_metrics_detail", name)
                if seen.burn == 0:
                    yield order("declare_resolved")
                    return
                if seen.burn <= before / 2:
                    break
                seen = yield order(act, name, undo=True)
        while True:
            seen = yield order("get_metrics_detail", seen.entries[0])

    return play


DOUBLED = tuple(
    doubled(acts, pattern)
    for acts in (("rollback_deploy", "revert_config"), ("revert_config", "rollback_deploy"))
    for pattern in (r"([a-z-]+\.[a-z]+) ", r"\.([a-z]+) ")
)
"""What is named twice may be a key of one feature, or a key of any."""


def undo(youngest_only: bool) -> Callable[[Seen], Script]:
    """Read every service's changes; undo the youngest one, or all of them."""

    def play(seen: Seen) -> Script:
        found: list[tuple[int, str, str]] = []
        for name in sorted(seen.graph):
            seen = yield order("inspect_commit_diff", name)
            build, _, revision = seen.feedback.partition(" | rev ")
            for part, action in ((build[6:], "rollback_deploy"), (revision, "revert_config")):
                age = part.split("m ")[0]
                if age.isdigit():
                    found.append((int(age), action, name))
        found.sort()
        for _, action, name in found[:1] if youngest_only else found:
            seen = yield order(action, name)
        for _ in range(4):
            seen = yield order("get_metrics_detail", seen.entries[0])
        yield order("declare_resolved")

    return play
