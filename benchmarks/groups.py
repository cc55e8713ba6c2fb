"""`python -m benchmarks.groups`: speed of rollouts of one task against rollouts of many tasks."""

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
    episodes: Annotated[int, typer.Option(min=8, help="Episodes of each measurement.")] = 400,
    group: Annotated[int, typer.Option(min=2, help="Rollouts of one task in a group.")] = 8,
    policy: Annotated[str, typer.Option(help="Scripted policy that plays.")] = "reference",
    environment: EnvironmentOption = None,
) -> None:
    """Play single episodes, then groups of rollouts of one task, on one core; print the ratio."""
    with report_usage_errors():
        chosen = get_environment(environment)
        player = chosen.policies[require_name("policy", policy, chosen.policies)]
    tasks = max(episodes // group, 1)
    single = list_split_resets(chosen, 1, episodes)
    # Tasks that no measurement has played yet, so that none is in a cache.
    grouped = [r for r in list_split_resets(chosen, 1 + episodes, tasks) for _ in range(group)]
    with Console(stderr=True).status("Measuring"):
        measure_episodes_per_s(
            chosen, player, list_split_resets(chosen, 0, 1)
        )  # imports and constants
        rates = {
            "each task once": measure_episodes_per_s(chosen, player, single),
            f"each task {group} times in a row": measure_episodes_per_s(chosen, player, grouped),
        }
    slowest = next(iter(rates.values()))
    rows = [(name, f"{rate:,.0f}", f"{rate / slowest:.1f}") for name, rate in rates.items()]
    title = f"{chosen.title}, policy {player.name}, one core"
    Console(width=100).print(build_table(title, ("tasks", "episodes/s", "ratio"), rows))


def list_split_resets(environment: Environment, first: int, count: int) -> list[Reset]:
    """Return the resets of consecutive tasks of the first split, from its start after its end."""
    splits = environment.splits
    split = splits.names()[0]
    positions = (number % splits.size(split) for number in range(first, first + count))
    return [splits.task(split, position).reset_arguments() for position in positions]


def measure_episodes_per_s(
    environment: Environment, policy: Policy, resets: Sequence[Reset]
) -> float:
    """Play a policy's episodes one after another; return episodes per second of processor time."""
    started = time.process_time()
    for reset in resets:
        session, opening = start_session(environment, reset)
        run_policy(session, policy, opening)
    return len(resets) / (time.process_time() - started)


if __name__ == "__main__":
    app()
