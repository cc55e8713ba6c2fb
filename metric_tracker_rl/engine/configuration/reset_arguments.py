"""Declares the arguments that a client can pass to a reset of the environment."""

from __future__ import annotations

from dataclasses import replace

from openenv_kit.reset_arguments import (
    DIFFICULTY,
    EPISODE_ID,
    INDEX,
    MAX_STEPS,
    MAX_SUBMISSIONS,
    PRODUCT,
    REWARD,
    SEED,
    SPLIT,
    TASK_ID,
    ArgumentRole,
    ResetArgument,
    index_arguments_by_name,
    select_argument_names_by_role,
)

RESET_ARGUMENTS = index_arguments_by_name(
    EPISODE_ID,
    TASK_ID,
    replace(SEED, description="0 to 2⁶⁴ − 1; default: the task's seed"),
    ResetArgument("scenario_family", ArgumentRole.DATA, "string", "an anomaly type, or `mixed`"),
    replace(DIFFICULTY, description="a level, or a number from 0 (easiest) to 1"),
    ResetArgument(
        "anomaly_density",
        ArgumentRole.DATA,
        "string",
        "`low` (2), `medium` (3) or `high` (4 anomalies)",
    ),
    ResetArgument(
        "anomaly_count",
        ArgumentRole.DATA,
        "integer",
        "0 to 7 (`expert`: 12); overrides the density",
    ),
    ResetArgument(
        "anomalies",
        ArgumentRole.DATA,
        "array",
        "custom anomalies: a metric set to median ± factor × standard deviation on some dates",
    ),
    SPLIT,
    INDEX,
    replace(MAX_STEPS, description="1 to 500, default 64; one more ends the episode with score 0"),
    replace(MAX_SUBMISSIONS, description="1 to 5, default 1; each before the last one costs 10 %"),
    ResetArgument(
        "feedback", ArgumentRole.PLAY, "string", "`full`, or `score`: the end shows only the score"
    ),
    ResetArgument("profile", ArgumentRole.PLAY, "string", "`standard`, or `lean`: six tools"),
    ResetArgument(
        "disclosure",
        ArgumentRole.PLAY,
        "string",
        "`guided`, or `raw`: tools do not say what is flagged",
    ),
    replace(REWARD, description="`graded`, `exact` or `key_f1`"),
    ResetArgument(
        "policy",
        ArgumentRole.DATA,
        "string",
        "`standard`, or `varied`: a reporting policy drawn for the episode",
    ),
    PRODUCT,
)

EPISODE_ARGUMENTS = (
    TASK_ID.name,
    *select_argument_names_by_role(
        RESET_ARGUMENTS, ArgumentRole.SEED, ArgumentRole.LEVEL, ArgumentRole.DATA
    ),
)
"""Names of the arguments that determine an episode if the reset gives no split."""
PLAY_RULE_ARGUMENTS = select_argument_names_by_role(
    RESET_ARGUMENTS, ArgumentRole.PLAY, ArgumentRole.LIMIT
)
"""Names of the arguments that are fields of `PlayRules`."""
ARGUMENTS_ALLOWED_WITH_SPLIT = ("policy", PRODUCT.name, *PLAY_RULE_ARGUMENTS)
"""Names of the arguments that a reset can combine with a split and an index."""
ALLOWED_WITH_SPLIT_TEXT = f"with split and index: only {', '.join(ARGUMENTS_ALLOWED_WITH_SPLIT)}"
"""The same arguments, for error messages."""
