"""`python -m research.measure_levels`: measures rewards of noisy reference policies by rung."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from rich.console import Console

from metric_tracker_rl.engine.definitions.names import REWARDS, Profile
from metric_tracker_rl.engine.definitions.rungs import (
    CURRICULUM_RESETS,
    DEFAULT_ANOMALY_COUNTS,
    DIFFICULTY_BY_LEVEL,
)
from metric_tracker_rl.engine.session.episode_session import EpisodeSession
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.policies.noisy_reference import (
    RANDOM_SHARES,
    submit_root_ids_with_random_decisions,
)
from openenv_kit.cli.common import build_table
from openenv_kit.reply import EndInfo
from openenv_kit.rewards import Reward
from openenv_kit.rollouts.policies import Policy
from openenv_kit.rollouts.run_policy import iter_policy_steps
from openenv_kit.splits import derive_seed_from_text

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

ResultLine = dict[str, Any]


@app.command()
def measure_rungs(
    episodes: Annotated[int, typer.Option(min=1, help="Episodes of each rung.")] = 100,
    out: Annotated[Path | None, typer.Option(help="Write the results to this JSON file.")] = None,
) -> None:
    """Print the mean reward on each rung, for five shares of random decisions."""
    lines = [line for stage in CURRICULUM_RESETS for line in measure_rung(stage, episodes)]
    if out:
        document = {"versions": dict(ENVIRONMENT.versions), "episodes": episodes, "rungs": lines}
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    rows = []
    for stage in CURRICULUM_RESETS:
        name = stage["difficulty"]
        means = [f"{line[Reward.GRADED]:.3f}" for line in lines if line["rung"] == name]
        rows.append(
            (name, f"{DIFFICULTY_BY_LEVEL[name]:.2f}", str(DEFAULT_ANOMALY_COUNTS[name]), *means)
        )
    columns = ("rung", "difficulty", "anomalies", *(f"{share:.0%}" for share in RANDOM_SHARES))
    title = "Mean graded reward of the reference policy by share of random decisions"
    Console(width=100).print(build_table(title, columns, rows))


def measure_rung(rung_reset: Mapping[str, Any], episodes: int) -> list[ResultLine]:
    """Return a line for each share of random decisions, with the mean of every reward."""
    level_name = rung_reset["difficulty"]
    resets = [
        {
            **rung_reset,
            "seed": derive_seed_from_text(f"metric-tracker-rungs/1|{level_name}|{number}"),
            "profile": Profile.LEAN,
        }
        for number in range(episodes)
    ]
    lines = []
    for share in RANDOM_SHARES:
        rewards_by_episode = [_rewards_of_episode(reset, share) for reset in resets]
        means = {name: fmean(rewards[name] for rewards in rewards_by_episode) for name in REWARDS}
        lines.append({"rung": level_name, "share": share, **means})
    return lines


def _rewards_of_episode(reset: Mapping[str, Any], random_share: float) -> Mapping[str, float]:
    """Play an episode with a noisy reference policy. Return its value of each reward."""
    session = EpisodeSession()
    seed = f"{reset['seed']}|{random_share}"
    player = Policy(
        "noisy",
        "",
        partial(
            submit_root_ids_with_random_decisions, random_decision_share=random_share, seed=seed
        ),
    )
    *_, (_, last) = iter_policy_steps(session, player, session.reset(**reset, max_steps=128))
    return EndInfo.from_info(last.info).components


if __name__ == "__main__":
    app()
