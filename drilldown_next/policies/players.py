"""The scripted policies, by name."""

from __future__ import annotations

from drilldown_next.policies.guesses import generate_random_report
from drilldown_next.policies.reference import reference
from drilldown_next.policies.replies import submit
from openenv_kit.bitstream import BitStream
from openenv_kit.json_text import compact_json
from openenv_kit.rollouts.policies import ObservationJson, Policies, PolicySteps

POLICIES = Policies()
POLICIES.register("reference")(reference)


@POLICIES.register("null")
def submit_nothing(_: ObservationJson) -> PolicySteps:
    """Submits the empty report."""
    yield submit([])


@POLICIES.register("random", is_baseline=True)
def submit_random_rows(observation: ObservationJson) -> PolicySteps:
    """Submits as many random legal rows as there can be roots."""
    # Seeded with what the player sees, so that a run can be repeated.
    seen = compact_json({"alert": observation["message"], "config": observation["config"]})
    yield from generate_random_report(observation, BitStream(f"drilldown/random/{seen}"))
