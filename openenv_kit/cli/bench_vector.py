"""`metric-tracker bench-vector`: the vector against single sessions, results first, then rate."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from metric_tracker_rl.engine.certificate import grid
from metric_tracker_rl.engine.episode import build_episode
from metric_tracker_rl.engine.session import EpisodeSession
from metric_tracker_rl.policies import Observed, Play, Policy, get_policy
from openenv_kit.play.driver import play
from openenv_kit.play.recording import digest_of
from openenv_kit.play.vector import VectorSession

GROUP = 8
"""Rollouts of one episode in the grouped measurement, as group-relative trainers make them."""

Reset = dict[str, Any]


def bench_vector(
    episodes: Annotated[int, typer.Option(min=8, help="Episodes compared.")] = 1000,
    lanes: Annotated[int, typer.Option(min=1, help="Episodes side by side.")] = 256,
    policy: Annotated[str, typer.Option(help="Scripted policy that plays.")] = "reference",
) -> None:
    """Check that N episodes side by side are N single ones, and print rates on one core."""
    console = Console(width=100)
    status = Console(stderr=True)
    player, resets = get_policy(policy), mixed_resets(episodes)
    with status.status(f"Playing {episodes} episodes one at a time and {lanes} side by side"):
        alone, together = single(resets, player), side_by_side(resets, player, lanes)
    different = sum(one != other for one, other in zip(alone, together, strict=True))
    console.print(
        f"{episodes} episodes, {sum(map(len, alone))} replies compared: "
        f"{different} episodes differ."
    )
    with status.status("Measuring"):
        console.print(_rates(resets, player, lanes))
    raise typer.Exit(1 if different else 0)


def mixed_resets(episodes: int) -> list[Reset]:
    """Resets over every family, difficulty and count in turn, seed after seed."""
    return [
        {
            "seed": config.seed,
            "scenario_family": config.scenario_family,
            "difficulty": config.difficulty,
            "anomaly_count": config.anomaly_count,
        }
        for config, _ in zip(grid(range(episodes)), range(episodes), strict=False)
    ]


def single(resets: Sequence[Reset], policy: Policy) -> list[list[str]]:
    """Digest of every reply of each episode, played one at a time by one session."""
    heard: list[list[str]] = []
    session = EpisodeSession()
    for reset in resets:
        outcome = play(session, _heard(policy, heard), session.reset(**reset))
        heard[-1].append(digest_of(outcome.observation))
    return heard


def side_by_side(resets: Sequence[Reset], policy: Policy, lanes: int) -> list[list[str]]:
    """The same digests, played by a vector; lanes start episodes in the order of `resets`."""
    heard: list[list[str]] = []
    for number, outcome in enumerate(VectorSession(lanes).play(_heard(policy, heard), resets)):
        heard[number].append(digest_of(outcome.observation))
    return heard


def _heard(policy: Policy, heard: list[list[str]]) -> Policy:
    """The policy, with a digest of everything it is told put into a new list of `heard`."""

    def listen(opening: Observed) -> Play:
        digests = [digest_of(opening)]
        heard.append(digests)
        return relay(policy.play(opening), digests)

    def relay(moves: Play, digests: list[str]) -> Play:
        action = next(moves, None)
        while action is not None:
            observation = yield action
            digests.append(digest_of(observation))
            try:
                action = moves.send(observation)
            except StopIteration:
                return

    return Policy(policy.name, policy.description, listen)


def _rates(resets: Sequence[Reset], policy: Policy, lanes: int) -> Table:
    grouped = [reset for reset in resets[: len(resets) // GROUP] for _ in range(GROUP)]
    table = Table(title=f"One core, policy {policy.name}, {lanes} lanes")
    for title in ("what", "episodes", "episodes/s", "steps/s"):
        table.add_column(title, justify="left" if title == "what" else "right")

    def measure(what: str, episodes: int, run: Callable[[], int]) -> None:
        build_episode.cache_clear()
        started = time.process_time()
        steps = run()
        took = time.process_time() - started
        table.add_row(what, f"{episodes:,}", f"{episodes / took:,.0f}", f"{steps / took:,.0f}")

    measure("one at a time", len(resets), lambda: _alone(resets, policy))
    measure("vector", len(resets), lambda: _together(resets, policy, lanes))
    title = f"vector, groups of {GROUP} on one episode"
    measure(title, len(grouped), lambda: _together(grouped, policy, lanes))
    measure("vector, steps alone (rows_for_date)", lanes, lambda: _steps_alone(resets, lanes))
    return table


def _alone(resets: Sequence[Reset], policy: Policy) -> int:
    session = EpisodeSession()
    return sum(play(session, policy, session.reset(**reset)).steps for reset in resets)


def _together(resets: Sequence[Reset], policy: Policy, lanes: int) -> int:
    return sum(outcome.steps for outcome in VectorSession(lanes).play(policy, resets))


def _steps_alone(resets: Sequence[Reset], lanes: int, rounds: int = 60) -> int:
    """Steps of one cheap method in lanes that share few episodes: the vector's own cost."""
    vector = VectorSession(lanes)
    batch = vector.reset([resets[lane % GROUP] for lane in range(lanes)])
    dates = [reply.content["config"]["start_date"] for reply in batch.replies if reply]
    calls = [
        {"analysis_method": "rows_for_date", "analysis_args": {"date": date}} for date in dates
    ]
    for _ in range(rounds):
        vector.step(calls)
    return rounds * lanes
