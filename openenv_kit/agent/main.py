"""A whole run: settings, server, player, episodes, results."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, redirect_stdout, suppress
from typing import IO

from rich.console import Console

from openenv_kit.agent.command_line import RAY, THIS_MACHINE, Options, parse_options
from openenv_kit.agent.episode_plan import plan
from openenv_kit.agent.players import Player, choose_player
from openenv_kit.agent.redaction import cleaner
from openenv_kit.agent.results import EpisodeResult, print_table, write_results
from openenv_kit.agent.resume_file import EpisodeFile
from openenv_kit.agent.run_all_episodes import Engine, Run
from openenv_kit.agent.run_episode import EpisodePlayer
from openenv_kit.agent.servers import choose_server
from openenv_kit.agent.settings import (
    HF_TOKEN,
    KEY_VARIABLES,
    AgentSettings,
    check_address,
    is_hugging_face,
    load_settings,
    password_in,
    shown_url,
)
from openenv_kit.agent.stdout import Lines
from openenv_kit.errors import ConfigurationError, KitError

RAN, TASK_FAILED, BAD_SETTINGS, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (None: the process's own); returns the exit code."""
    options = parse_options(arguments)
    console = Console(stderr=True)
    lines_to = sys.stdout
    # Only the lines may go to standard output, whatever a library prints.
    with redirect_stdout(sys.stderr):
        try:
            return asyncio.run(_run(options, console, lines_to))
        except KitError as problem:
            console.print(f"inference: {problem}", markup=False, highlight=False, style="red")
            return BAD_SETTINGS if isinstance(problem, ConfigurationError) else TASK_FAILED
        except (KeyboardInterrupt, asyncio.CancelledError):
            console.print("inference: interrupted.", highlight=False)
            return INTERRUPTED


async def _run(options: Options, console: Console, lines_to: IO[str]) -> int:
    _end_on_sigterm()
    settings = settings_for(options)
    clean = cleaner(settings.secrets)

    def say(text: str) -> None:
        console.print(clean(text), markup=False, highlight=False, soft_wrap=True)

    for note in settings.notes:
        say(note)
    environment = options.environment
    further = dict(options.reset or ())
    planned = plan(environment, settings.tasks, options.episodes, options.seed, further)
    async with AsyncExitStack() as held:
        player = choose_player(
            environment, options.policy, settings, require_llm=options.require_llm, say=say
        )
        held.push_async_callback(player.close)
        say(_who_plays(player, options, settings, len(planned)))
        file, known = None, list[EpisodeResult]()
        if options.resume is not None:
            file = EpisodeFile(options.resume, environment, player.name, player.terms, clean)
            held.callback(file.close)
            known = file.results(planned, say)
        live = options.concurrency == 1 and options.engine == THIS_MACHINE
        lines = Lines(lines_to, live=live, epsilon=settings.score_epsilon, clean=clean)
        run = Run(planned, options.concurrency, say, known, file)
        engine: Engine
        if options.engine == RAY:
            from openenv_kit.agent.ray_engine import ray_engine

            engine = await held.enter_async_context(ray_engine(options, settings, lines, say))
            _end_on_sigterm()  # Ray has set a handler of its own
        else:
            server = await choose_server(environment, settings, say)
            held.push_async_callback(server.stop)
            engine = EpisodePlayer(
                environment, settings, player, server, lines, options.record, say
            )
        result = await run.play(engine, player.name, settings.benchmark)
    if kept := write_results(result, options.output, clean, environment):
        say(f"{options.output} was there already; it is now {kept}.")
    print_table(result, console, clean)
    say(f"Results: {options.output}")
    if result.interrupted:
        say("inference: interrupted.")
        return INTERRUPTED
    return TASK_FAILED if result.failed else RAN


def _end_on_sigterm() -> None:
    """Let a SIGTERM end the run as Ctrl-C does: END lines printed, own server stopped."""
    if task := asyncio.current_task():
        with suppress(NotImplementedError):  # not on every platform
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def settings_for(options: Options) -> AgentSettings:
    """Settings from the variables, with the options over them; raises what is wrong."""
    settings = load_settings(benchmark=options.environment.name)
    base_url = None if options.embedded else options.base_url or settings.base_url
    if base_url:
        check_address("BASE_URL", base_url, ("http", "https", "ws", "wss"))
    over = {
        "tasks": settings.tasks if options.tasks is None else options.tasks,
        "model": options.model or settings.model,
        "base_url": base_url,
        "image_name": None if options.embedded or options.base_url else settings.image_name,
        "embedded": options.embedded,
        "secrets": (*settings.secrets, password_in(base_url or "")),
    }
    return settings.model_copy(update=over)


def _who_plays(player: Player, options: Options, settings: AgentSettings, episodes: int) -> str:
    text = f"Player: {player.name}, {episodes} episode{'' if episodes == 1 else 's'}."
    if options.policy:
        return text
    if settings.api_key is None and not settings.is_local_model:
        text += (
            f" No key is set ({', '.join(KEY_VARIABLES)}), so a scripted policy plays instead of a "
            "model."
        )
        if options.model:
            text += f" --model {options.model} has no effect without a key."
    else:
        endpoint = shown_url(settings.api_base_url) if settings.api_base_url else "OpenAI's own"
        key = f"key from {settings.key_variable}" if settings.api_key else "without a key"
        if settings.key_variable == HF_TOKEN and not is_hugging_face(settings.api_base_url):
            key += ", the only one that is set"
        text += f" Endpoint: {endpoint}, {key}."
    return text
