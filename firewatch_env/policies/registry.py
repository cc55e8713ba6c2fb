"""The scripted players by name, as the kit plays them."""

from __future__ import annotations

from collections.abc import Callable

from firewatch_env.policies.blind import (
    PLACES,
    declare_at_once,
    null,
    random_player,
    spray,
)
from firewatch_env.policies.keyword_rules import keyword_rules
from firewatch_env.policies.reference import reference
from firewatch_env.policies.seen import Script, Seen
from openenv_kit.play.policies import Observed, Play, Policies, Policy

POLICIES = Policies()
"""Every scripted player; `reference` solves every named task."""


def kit_play(policy: Callable[[Seen], Script]) -> Callable[[Observed], Play]:
    """A player in the kit's terms: it is sent observations as they travel."""

    def play(opening: Observed) -> Play:
        script = policy(Seen(opening, {}))
        action = next(script)
        while True:
            seen = yield action
            try:
                action = script.send(Seen(seen, {"action_feedback": seen["message"]}))
            except StopIteration:
                return

    return play


for _name, _policy, _told in (
    ("reference", reference, "Follows failing calls to their root and mends what measures as off."),
    ("keyword_rules", keyword_rules, "Repairs by keywords of fetched logs, as simple clients do."),
    ("spray", spray(PLACES["error"]), "Tries five repairs where errors are most frequent."),
    ("random", random_player(), "Any action on any service."),
    ("declare_at_once", declare_at_once, "Says that it is over without a look."),
    ("null", null, "Looks at the same meters until time is up."),
):
    POLICIES.add(Policy(_name, _told, kit_play(_policy)))
