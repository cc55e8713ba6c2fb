"""A whole run: settings, server, player, episodes, results."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from typing import IO

from rich.console import Console

from metric_tracker_rl.agent.jobs import Job, plan
from metric_tracker_rl.agent.options import DEFAULT_POLICY, Options, parse_options
from metric_tracker_rl.agent.results import print_table, write_results
from metric_tracker_rl.agent.run import Player, Run
from metric_tracker_rl.agent.scripted import ScriptedPlayer
from metric_tracker_rl.agent.servers import choose_server
from metric_tracker_rl.agent.settings import Settings, load_settings
from metric_tracker_rl.agent.stdout import Lines
from metric_tracker_rl.errors import AgentError, SettingsError

RAN, TASK_FAILED, BAD_SETTINGS, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit code.

    Args:
        arguments: command line; None for the process's own.
    """
    options = parse_options(arguments)
    console = Console(stderr=True)
    lines_to = sys.stdout
    # Standard output belongs to the lines alone, whatever a library prints.
    with redirect_stdout(sys.stderr):
        try:
            return asyncio.run(_run(options, console, lines_to))
        except SettingsError as problem:
            console.print(f"inference: {problem}", markup=False, highlight=False, style="red")
            return BAD_SETTINGS
        except AgentError as problem:
            console.print(f"inference: {problem}", markup=False, highlight=False, style="red")
            return TASK_FAILED
        except (KeyboardInterrupt, asyncio.CancelledError):
            console.print("inference: interrupted.", highlight=False)
            return INTERRUPTED


async def _run(options: Options, console: Console, lines_to: IO[str]) -> int:
    _cancel_on_sigterm()
    settings = settings_for(options)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    for note in settings.notes:
        say(note)
    jobs = plan(settings.tasks, options.episodes, options.seed)
    player = ScriptedPlayer(options.policy or DEFAULT_POLICY)
    say(_who_plays(player, options, settings, jobs))
    server = await choose_server(settings, say)
    try:
        run = Run(
            player,
            server,
            settings,
            jobs,
            Lines(lines_to, live=options.concurrency == 1, epsilon=settings.score_epsilon),
            console,
            options.record,
            options.concurrency,
        )
        summary = await run.play()
    finally:
        await player.close()
        await server.stop()
    write_results(summary, options.output)
    print_table(summary, console)
    say(f"Results: {options.output}")
    if summary.interrupted:
        say("inference: interrupted.")
        return INTERRUPTED
    return TASK_FAILED if summary.failed else RAN


def settings_for(options: Options) -> Settings:
    """Settings from the variables, with the options over them."""
    settings = load_settings()
    return replace(
        settings,
        tasks=settings.tasks if options.tasks is None else options.tasks,
        model=options.model or settings.model,
        base_url=None if options.embedded else options.base_url or settings.base_url,
        image_name=None if options.embedded or options.base_url else settings.image_name,
        embedded=options.embedded,
    )


def _who_plays(player: Player, options: Options, settings: Settings, jobs: Sequence[Job]) -> str:
    text = f"Player: {player.name}, {len(jobs)} episode(s)."
    if not options.policy and settings.api_key is None:
        text += (
            " No key is set (HF_TOKEN, OPENAI_API_KEY or API_KEY), so a scripted policy plays, "
            "no model."
        )
    return text


def _cancel_on_sigterm() -> None:
    """A SIGTERM ends the run as Ctrl-C does: END lines printed, own server stopped."""
    task = asyncio.current_task()
    assert task is not None
    with suppress(NotImplementedError):  # not on every platform
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
