"""`python -m benchmarks.groups`: compares rollouts of one task with rollouts of many tasks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from openenv_kit.cli.common import EnvironmentOption, build_table, report_usage_errors
from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import require_name
from openenv_kit.rollouts.policies import Policy
from openenv_kit.rollouts.run_policy import run_policy, start_session

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Reset = dict[str, Any]


@app.command()
def bench_groups(
    episodes: Annotated[int, typer.Option(min=8, help="Episodes in each measurement.")] = 400,
    group: Annotated[int, typer.Option(min=2, help="Rollouts of one task in a group.")] = 8,
    policy: Annotated[str, typer.Option(help="Name of the scripted policy.")] = "reference",
    environment: EnvironmentOption = None,
) -> None:
    """Measure single episodes and groups of rollouts of one task, on one core. Print the ratio."""
    with report_usage_errors():
        served = get_environment(environment)
        player = served.policies[require_name("policy", policy, served.policies)]
    group_count = max(episodes // group, 1)
    single = list_split_resets(served, 1, episodes)
    # The groups have tasks of their own, so that none is in a cache.
    grouped = [
        reset
        for reset in list_split_resets(served, 1 + episodes, group_count)
        for _ in range(group)
    ]
    with Console(stderr=True).status("Measuring"):
        # The first episode imports modules and computes constants.
        measure_episodes_per_s(served, player, list_split_resets(served, 0, 1))
        single_rate = measure_episodes_per_s(served, player, single)
        grouped_rate = measure_episodes_per_s(served, player, grouped)
    rows = [
        ("each task once", f"{single_rate:,.0f}", "1.0"),
        (
            f"each task {group} times in a row",
            f"{grouped_rate:,.0f}",
            f"{grouped_rate / single_rate:.1f}",
        ),
    ]
    title = f"{served.title}, policy {player.name}, one core"
    Console(width=100).print(build_table(title, ("tasks", "episodes/s", "ratio"), rows))


def list_split_resets(environment: Environment, first: int, count: int) -> list[Reset]:
    """Return the resets of consecutive tasks of the first split, which starts over at its end."""
    splits = environment.splits
    split = splits.list_playable_split_names()[0]
    positions = (number % splits.size(split) for number in range(first, first + count))
    return [splits.task(split, position).reset_arguments() for position in positions]


def measure_episodes_per_s(
    environment: Environment, policy: Policy, resets: Sequence[Reset]
) -> float:
    """Play episodes one after another. Return episodes per second of CPU time."""
    started = time.process_time()
    for reset in resets:
        session, reply = start_session(environment, reset)
        run_policy(session, policy, reply)
    return len(resets) / (time.process_time() - started)


if __name__ == "__main__":
    app()
