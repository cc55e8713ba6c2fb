"""The scripted players by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firewatch_env.policies.keyword_rules import keyword_rules
from firewatch_env.policies.reference import Script, order, reference
from firewatch_env.tools import GROUPS, RUNBOOK, RUNBOOKS
from openenv_kit.bitstream import BitStream
from openenv_kit.rollouts.policies import Policies

POLICIES = Policies()
"""Every scripted player; `reference` solves every named task."""


def random_player(opening: Mapping[str, Any]) -> Script:
    """Any tool on any service."""
    names = sorted(opening["dependency_graph"])
    draws = BitStream(f"firewatch/random/{names}")
    offered = {name for names in GROUPS.values() for name in names} | set(RUNBOOKS)
    actions = sorted(offered - {"declare_resolved", RUNBOOK})
    while True:
        yield order(draws.choose(actions), draws.choose(names))


def declare_at_once(opening: Mapping[str, Any]) -> Script:
    """Says that it is over without a look."""
    del opening
    yield order("declare_resolved")


def null(opening: Mapping[str, Any]) -> Script:
    """Looks at the same meters until time is up."""
    while True:
        yield order("get_metrics_detail", sorted(opening["dependency_graph"])[0])


for _name, _play in (
    ("reference", reference),
    ("keyword_rules", keyword_rules),
    ("random", random_player),
    ("declare_at_once", declare_at_once),
    ("null", null),
):
    POLICIES.register(_name)(_play)
