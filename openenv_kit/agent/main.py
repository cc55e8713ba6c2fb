"""A whole run: settings, server, player, episodes, results."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, redirect_stdout, suppress
from typing import IO

from rich.console import Console

from openenv_kit.agent.command_line import (
    LOCAL_ENGINE,
    RAY_ENGINE,
    CommandLineOptions,
    parse_options,
)
from openenv_kit.agent.episode_plan import plan_episodes
from openenv_kit.agent.players import Player, choose_player
from openenv_kit.agent.redaction import build_redactor
from openenv_kit.agent.results import EpisodeResult, print_result_table, write_results_with_backup
from openenv_kit.agent.resume_file import ResumeFile
from openenv_kit.agent.run_all_episodes import EpisodeRunner, EpisodeScheduler
from openenv_kit.agent.run_episode import LocalEpisodeRunner
from openenv_kit.agent.servers import find_or_start_server
from openenv_kit.agent.settings import (
    AgentSettings,
    extract_url_password,
    hide_url_password,
    is_hugging_face,
    load_settings,
    require_url,
)
from openenv_kit.agent.stdout import EvaluationLog
from openenv_kit.errors import ConfigurationError, KitError
from openenv_kit.variables import API_KEY_VARIABLES, HF_TOKEN_VARIABLE

EXIT_OK, EXIT_EPISODE_FAILED, EXIT_BAD_SETTINGS, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (None: the process's own); returns the exit code."""
    options = parse_options(arguments)
    console = Console(stderr=True)
    lines_to = sys.stdout
    # Only the lines may go to standard output, whatever a library prints.
    with redirect_stdout(sys.stderr):
        try:
            return asyncio.run(_run_command(options, console, lines_to))
        except KitError as problem:
            console.print(f"inference: {problem}", markup=False, highlight=False, style="red")
            return (
                EXIT_BAD_SETTINGS
                if isinstance(problem, ConfigurationError)
                else EXIT_EPISODE_FAILED
            )
        except (KeyboardInterrupt, asyncio.CancelledError):
            console.print("inference: interrupted.", highlight=False)
            return EXIT_INTERRUPTED


async def _run_command(options: CommandLineOptions, console: Console, log_stream: IO[str]) -> int:
    _cancel_on_sigterm()
    settings = resolve_settings(options)
    clean = build_redactor(settings.secrets)

    def say(text: str) -> None:
        console.print(clean(text), markup=False, highlight=False, soft_wrap=True)

    for note in settings.notes:
        say(note)
    environment = options.environment
    further = dict(options.reset or ())
    planned = plan_episodes(environment, settings.tasks, options.episodes, options.seed, further)
    async with AsyncExitStack() as held:
        player = choose_player(
            environment, options.policy, settings, require_llm=options.require_llm, print_status=say
        )
        held.push_async_callback(player.close)
        say(_describe_player(player, options, settings, len(planned)))
        file, known = None, list[EpisodeResult]()
        if options.resume is not None:
            file = ResumeFile(
                options.resume, environment, player.name, player.score_settings, clean
            )
            held.callback(file.close)
            known = file.read_results(planned, say)
        live = options.concurrency == 1 and options.engine == LOCAL_ENGINE
        lines = EvaluationLog(
            log_stream, is_live=live, score_epsilon=settings.score_epsilon, redact=clean
        )
        run = EpisodeScheduler(planned, options.concurrency, say, known, file)
        engine: EpisodeRunner
        if options.engine == RAY_ENGINE:
            from openenv_kit.agent.ray_engine import open_ray_runner

            engine = await held.enter_async_context(open_ray_runner(options, settings, lines, say))
            _cancel_on_sigterm()  # Ray has set a handler of its own
        else:
            server = await find_or_start_server(environment, settings, say)
            held.push_async_callback(server.stop)
            engine = LocalEpisodeRunner(
                environment, settings, player, server, lines, options.record, say
            )
        result = await run.run_all_episodes(engine, player.name, settings.benchmark)
    if kept := write_results_with_backup(result, options.output, clean, environment):
        say(f"{options.output} was there already; it is now {kept}.")
    print_result_table(result, console, clean)
    say(f"Results: {options.output}")
    if result.is_interrupted:
        say("inference: interrupted.")
        return EXIT_INTERRUPTED
    return EXIT_EPISODE_FAILED if result.unfinished_count else EXIT_OK


def _cancel_on_sigterm() -> None:
    """Let a SIGTERM end the run as Ctrl-C does: END lines printed, own server stopped."""
    if task := asyncio.current_task():
        with suppress(NotImplementedError):  # not on every platform
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def resolve_settings(options: CommandLineOptions) -> AgentSettings:
    """Settings from the variables, with the options over them; raises what is wrong."""
    settings = load_settings(benchmark=options.environment.name)
    base_url = None if options.embedded else options.base_url or settings.base_url
    if base_url:
        require_url("BASE_URL", base_url, ("http", "https", "ws", "wss"))
    over = {
        "tasks": settings.tasks if options.tasks is None else options.tasks,
        "model": options.model or settings.model,
        "base_url": base_url,
        "image_name": None if options.embedded or options.base_url else settings.image_name,
        "embedded": options.embedded,
        "secrets": (*settings.secrets, extract_url_password(base_url or "")),
    }
    return settings.model_copy(update=over)


def _describe_player(
    player: Player, options: CommandLineOptions, settings: AgentSettings, episode_count: int
) -> str:
    text = f"Player: {player.name}, {episode_count} episode{'' if episode_count == 1 else 's'}."
    if options.policy:
        return text
    if settings.api_key is None and not settings.is_local_model:
        text += (
            f" No key is set ({', '.join(API_KEY_VARIABLES)}), so a scripted policy plays instead "
            "of a model."
        )
        if options.model:
            text += f" --model {options.model} has no effect without a key."
    else:
        endpoint = (
            hide_url_password(settings.api_base_url) if settings.api_base_url else "OpenAI's own"
        )
        key = f"key from {settings.key_variable}" if settings.api_key else "without a key"
        if settings.key_variable == HF_TOKEN_VARIABLE and not is_hugging_face(
            settings.api_base_url
        ):
            key += ", the only one that is set"
        text += f" Endpoint: {endpoint}, {key}."
    return text
