"""Play modes, which determine an episode's tools and how much information the tools return.

An episode's public configuration contains the play mode only if it is not the default. The packages
with the tools and the reference policies register what they provide for each mode, so this module
must not import them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from metric_tracker_rl.engine.definitions.names import Disclosure, PolicySource, Profile


class PlayMode(NamedTuple):
    """Play mode of an episode: its set of tools (profile) and what they reveal (disclosure)."""

    profile: Profile = Profile.STANDARD
    disclosure: Disclosure = Disclosure.GUIDED

    @property
    def has_lean_profile(self) -> bool:
        """Whether the episode offers the small set of tools, the profile `lean`."""
        return self.profile == Profile.LEAN

    @property
    def has_raw_disclosure(self) -> bool:
        """Whether the disclosure is `raw`, so that no tool says which values are anomalous."""
        return self.disclosure == Disclosure.RAW


GUIDED_MODE = PlayMode(Profile.STANDARD, Disclosure.GUIDED)
LEAN_MODE = PlayMode(Profile.LEAN, Disclosure.GUIDED)
RAW_MODE = PlayMode(Profile.STANDARD, Disclosure.RAW)
LEAN_RAW_MODE = PlayMode(Profile.LEAN, Disclosure.RAW)


class ModeTexts(NamedTuple):
    """Objective and system prompt of one play mode.

    Attributes:
        objective: the player's task, the first sentence of the reset observation's `instruction`.
        system_prompt: system message of a model's conversation.
    """

    objective: str
    system_prompt: str


def _build_system_prompt(*, tools: str, reading_steps: str, decision: str, submission: str) -> str:
    """Return the system prompt of one play mode.

    The prompt reveals neither the expected report rows nor the scoring formula.

    Args:
        tools: noun phrase for the tools, such as "read-only tools".
        reading_steps: list items that explain how to read the data.
        decision: clause that says what to decide for each date, such as "which rows it asks for".
        submission: clause that explains how to submit a report and what happens then.
    """
    return f"""\
You are a careful product analyst. You can see a product funnel's data through {tools} only. \
Find every row that the reporting policy asks for, and report exactly these: roots, not their \
consequences.

How to work:
{reading_steps}
- Decide for each date, in the policy's order, {decision}.
- Then {submission} An empty report is right if there is nothing to report.
Answer with tool calls; text alone has no effect."""


_OVERVIEW_STEP = """\
- Start with task_overview: it states the thresholds, the severity bands and the fields of a \
report row; with details it repeats the policy."""
_NO_FLAGS_NOTICE = "None of them says what is flagged: compute it from these values"
_NO_FLAGS_NOTICE_WITH_HOURS = f"{_NO_FLAGS_NOTICE}, and read the hours of every date."
_SUBMISSION_ENDS_EPISODE = "this ends the episode and is scored from 0 to 1."

MODES: dict[PlayMode, ModeTexts] = {
    GUIDED_MODE: ModeTexts(
        objective="Find every anomaly of the episode with the analysis methods and submit one "
        "report with exactly the rows the reporting policy asks for.",
        system_prompt=_build_system_prompt(
            tools="read-only tools",
            reading_steps=f"""{_OVERVIEW_STEP}
- Read the data with the other tools, with several calls in one message where that helps. Take \
baselines and observed values from tool results; never guess or round them.""",
            decision="which rows it asks for",
            submission="submit once: submit_solution with your rows, or submit_payload_generator "
            "if row generators give exactly the right rows. A submission ends the episode and is "
            "scored from 0 to 1.",
        ),
    ),
    LEAN_MODE: ModeTexts(
        objective="Submit the ids of exactly the rows that the reporting policy asks for.",
        system_prompt=f"""\
You analyse a product funnel with tools. Decide for each date, in the policy's order, which series \
are roots. Then submit the roots' ids, once: {_SUBMISSION_ENDS_EPISODE} An empty report is right \
if there is nothing to report. Answer with tool calls; text alone has no effect.""",
    ),
    RAW_MODE: ModeTexts(
        objective="Find every anomaly in the values that the analysis methods return, which do not "
        "say what is flagged, and submit one report with exactly the rows the reporting policy "
        "asks for.",
        system_prompt=_build_system_prompt(
            tools="read-only tools",
            reading_steps=f"""{_OVERVIEW_STEP}
- The other tools show values, medians, hours and public events. {_NO_FLAGS_NOTICE_WITH_HOURS}""",
            decision="which rows it asks for",
            submission=f"submit once, submit_solution with your rows: {_SUBMISSION_ENDS_EPISODE}",
        ),
    ),
    LEAN_RAW_MODE: ModeTexts(
        objective="Report exactly the rows that the reporting policy asks for; day and hours "
        "return the values.",
        system_prompt=_build_system_prompt(
            tools="tools",
            reading_steps=f"""\
- overview shows medians and thresholds, day the values of given dates, hours their hourly counts, \
calendar public events. {_NO_FLAGS_NOTICE_WITH_HOURS}""",
            decision="which rows it asks for",
            submission=f"submit your rows, once: {_SUBMISSION_ENDS_EPISODE}",
        ),
    ),
}
"""Objective and system prompt of every play mode."""

_TEXTS_WITHOUT_HOURS: dict[PlayMode, ModeTexts] = {
    RAW_MODE: MODES[RAW_MODE]._replace(
        system_prompt=_build_system_prompt(
            tools="read-only tools",
            reading_steps=f"""{_OVERVIEW_STEP}
- The other tools show values, medians and public events. {_NO_FLAGS_NOTICE}, for every date.""",
            decision="which rows it asks for",
            submission=f"submit once, submit_solution with your rows: {_SUBMISSION_ENDS_EPISODE}",
        )
    ),
    LEAN_RAW_MODE: ModeTexts(
        objective="Report exactly the rows that the reporting policy asks for; day returns the "
        "values.",
        system_prompt=_build_system_prompt(
            tools="tools",
            reading_steps=f"""\
- overview shows medians and thresholds, day the values of given dates, calendar public events. \
{_NO_FLAGS_NOTICE}, for every date.""",
            decision="which rows it asks for",
            submission=f"submit your rows, once: {_SUBMISSION_ENDS_EPISODE}",
        ),
    ),
}


def get_mode_texts(mode: PlayMode, *, has_hours: bool = True) -> ModeTexts:
    """Return the objective and the system prompt of a play mode.

    Args:
        mode: play mode.
        has_hours: whether the episode has hourly counts. If it has only daily counts, the texts do
            not mention hours.
    """
    return MODES[mode] if has_hours else _TEXTS_WITHOUT_HOURS.get(mode, MODES[mode])


MODE_ARGUMENTS = ("profile", "disclosure", "policy")
"""Reset arguments that determine the tools, the system prompt and the reference policy of an
episode. The public configuration contains them if they differ from the default.
"""


def read_play_mode(episode_fields: Mapping[str, Any]) -> PlayMode:
    """Return the play mode of an episode, using defaults for missing or unknown values.

    Args:
        episode_fields: the episode's reset observation, reset arguments or state, as a mapping.
    """
    fields = _get_nested_config_or_same_fields(episode_fields)
    return PlayMode(
        Profile.LEAN if fields.get("profile") == Profile.LEAN else Profile.STANDARD,
        Disclosure.RAW if fields.get("disclosure") == Disclosure.RAW else Disclosure.GUIDED,
    )


def has_drawn_policy(episode_fields: Mapping[str, Any]) -> bool:
    """Return whether an episode has a reporting policy drawn at random for it.

    Args:
        episode_fields: the episode's reset observation, reset arguments or state, as a mapping.
    """
    return bool(
        _get_nested_config_or_same_fields(episode_fields).get("policy") == PolicySource.VARIED
    )


def _get_nested_config_or_same_fields(episode_fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the nested mapping `config` if there is one; otherwise return the given fields."""
    config = episode_fields.get("config")
    return config if isinstance(config, Mapping) else episode_fields
