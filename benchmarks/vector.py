"""`python -m benchmarks.vector`: the vector against single sessions, results first, then rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from openenv_kit.cli.common import EnvironmentName, table_of, usage_errors
from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import require_name
from openenv_kit.play.driver import moves, observed, play
from openenv_kit.play.policies import Observed, Play, Policy
from openenv_kit.play.recording import canonical
from openenv_kit.play.vector import VectorSession

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

GROUP = 8
"""Rollouts of one episode in the grouped measurement, as group-relative trainers make them."""
ROUNDS = 60
"""Steps of each lane in the measurement of steps alone."""

Reset = dict[str, Any]


@app.command()
def bench_vector(
    episodes: Annotated[int, typer.Option(min=8, help="Episodes compared.")] = 1000,
    lanes: Annotated[int, typer.Option(min=1, help="Episodes side by side.")] = 256,
    policy: Annotated[str, typer.Option(help="Scripted policy that plays.")] = "reference",
    environment: EnvironmentName = None,
) -> None:
    """Check that N episodes side by side are N single ones, and print rates on one core."""
    with usage_errors():
        chosen = get_environment(environment)
        player = chosen.policies[require_name("policy", policy, chosen.policies)]
        vector = VectorSession(lanes, chosen)
    console = Console(width=100)
    status = Console(stderr=True)
    resets = split_resets(chosen, 0, episodes)
    with status.status(f"Playing {episodes} episodes one at a time and {lanes} side by side"):
        alone, together = single(chosen, resets, player), side_by_side(vector, resets, player)
    different = sum(one != other for one, other in zip(alone, together, strict=True))
    console.print(
        f"{episodes} episodes, {sum(map(len, alone))} replies compared: "
        f"{different} episodes differ."
    )
    with status.status("Measuring"):
        console.print(_rates(chosen, vector, player, episodes))
    raise typer.Exit(1 if different else 0)


def split_resets(environment: Environment, first: int, count: int) -> list[Reset]:
    """Resets of consecutive tasks of the first split, which starts again after its last one."""
    splits = environment.splits
    split = splits.names()[0]
    positions = (number % splits.size(split) for number in range(first, first + count))
    return [splits.task(split, position).reset_arguments() for position in positions]


def single(environment: Environment, resets: Sequence[Reset], policy: Policy) -> list[list[str]]:
    """Digest of every reply of each episode, played one at a time by one session."""
    session = environment.session()
    found = []
    for reset in resets:
        opening = session.reset(**reset)
        replies = (reply for _, reply in moves(session, policy, opening))
        found.append([_whole(observed(reply)) for reply in chain([opening], replies)])
    return found


def _whole(observation: Observed) -> str:
    """Digest of all that a reply says, its wording included."""
    return sha256(canonical(observation).encode()).hexdigest()


def side_by_side(vector: VectorSession, resets: Sequence[Reset], policy: Policy) -> list[list[str]]:
    """The same digests, played by a vector; lanes start episodes in the order of `resets`."""
    heard: list[list[str]] = []

    def listen(opening: Observed) -> Play:
        digests = [_whole(opening)]
        heard.append(digests)
        with closing(policy.play(opening)) as player, suppress(StopIteration):
            action = next(player)
            while True:
                observation = yield action
                digests.append(_whole(observation))
                action = player.send(observation)

    outcomes = vector.play(replace(policy, play=listen), resets)
    for digests, outcome in zip(heard, outcomes, strict=True):
        digests.append(_whole(outcome.observation))
    return heard


def _rates(environment: Environment, vector: VectorSession, policy: Policy, count: int) -> Table:
    # Fresh episodes for each measurement: nothing comes from a cache.
    fresh = (split_resets(environment, first, count) for first in (count, 2 * count, 3 * count))
    alone, together, shared = fresh
    grouped = [reset for reset in shared[: count // GROUP] for _ in range(GROUP)]
    session = environment.session()
    rows = []

    def measure(what: str, episodes: int, run: Callable[[], int]) -> None:
        started = time.process_time()
        steps = run()
        took = time.process_time() - started
        rows.append((what, f"{episodes:,}", f"{episodes / took:,.0f}", f"{steps / took:,.0f}"))

    def played(resets: Sequence[Reset]) -> int:
        return sum(outcome.steps for outcome in vector.play(policy, resets))

    def one_by_one() -> int:
        return sum(play(session, policy, session.reset(**reset)).steps for reset in alone)

    measure("one at a time", count, one_by_one)
    measure("vector", count, lambda: played(together))
    measure(f"vector, groups of {GROUP} on one episode", len(grouped), lambda: played(grouped))
    # In lanes that share few episodes the first call of the policy shows the vector's own cost.
    batch = vector.reset([shared[lane % min(GROUP, count)] for lane in range(len(vector))])
    calls = [next(policy.play(observed(reply))) for reply in batch.replies if reply]
    name = environment.tools.called(calls[0])[0]

    def steps_alone() -> int:
        return sum(len(vector.step(calls).replies) for _ in range(ROUNDS))

    measure(f"vector, steps alone ({name})", len(vector), steps_alone)
    title = f"One core, policy {policy.name}, {len(vector)} lanes"
    return table_of(title, ("what", "episodes", "episodes/s", "steps/s"), rows)


if __name__ == "__main__":
    app()
