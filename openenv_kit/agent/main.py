"""Runs `inference.py`: loads the settings, plays the episodes and writes the results."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, redirect_stdout, suppress
from enum import IntEnum
from typing import IO

from rich.console import Console

from openenv_kit.agent.command_line import CommandLineOptions, Engine, parse_options
from openenv_kit.agent.episode_plan import plan_episodes
from openenv_kit.agent.find_server import find_or_start_server
from openenv_kit.agent.players import Player, choose_player
from openenv_kit.agent.redaction import build_redactor
from openenv_kit.agent.result_table import print_results_and_errors
from openenv_kit.agent.results import EpisodeResult, write_results_with_backup
from openenv_kit.agent.resume_file import ResumeFile
from openenv_kit.agent.run_all_episodes import EpisodeRunner, EpisodeScheduler
from openenv_kit.agent.run_episode import LocalEpisodeRunner
from openenv_kit.agent.settings import (
    AgentSettings,
    extract_url_password,
    hide_url_credentials,
    is_hugging_face_url,
    load_settings,
    require_url,
)
from openenv_kit.agent.stdout import EvaluationLog
from openenv_kit.errors import ConfigurationError, KitError
from openenv_kit.own_data.product_argument import find_product_of_reset, get_product_reset_arguments
from openenv_kit.variables import API_KEY_VARIABLES, HF_TOKEN_VARIABLE


class ExitCode(IntEnum):
    """Exit codes of `inference.py`."""

    OK = 0
    EPISODE_FAILED = 1
    BAD_SETTINGS = 2
    INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `inference.py` and return its exit code.

    Args:
        arguments: command-line arguments; None for the arguments of this process.
    """
    options = parse_options(arguments)
    console = Console(stderr=True)
    log_stream = sys.stdout
    # Standard output is reserved for the evaluation log, so libraries print to standard error.
    with redirect_stdout(sys.stderr):
        try:
            return asyncio.run(_play_episodes_and_write_results(options, console, log_stream))
        except KitError as problem:
            console.print(f"inference: {problem}", markup=False, highlight=False, style="red")
            if isinstance(problem, ConfigurationError):
                return ExitCode.BAD_SETTINGS
            return ExitCode.EPISODE_FAILED
        except (KeyboardInterrupt, asyncio.CancelledError):
            console.print("inference: interrupted.", highlight=False)
            return ExitCode.INTERRUPTED


async def _play_episodes_and_write_results(
    options: CommandLineOptions, console: Console, log_stream: IO[str]
) -> ExitCode:
    _cancel_run_on_sigterm()
    settings = load_settings_with_options(options)
    redact = build_redactor(settings.secrets)

    def print_redacted_status(text: str) -> None:
        console.print(redact(text), markup=False, highlight=False, soft_wrap=True)

    for note in settings.notes:
        print_redacted_status(note)
    environment = options.environment
    product_arguments = get_product_reset_arguments(environment, options.product)
    planned_episodes = plan_episodes(
        environment,
        task_list=settings.tasks,
        episodes_per_task=options.episodes,
        first_seed=options.seed,
        extra_reset_arguments={**dict(options.reset or ()), **product_arguments},
        level=options.level,
    )
    async with AsyncExitStack() as exit_stack:
        player = choose_player(
            environment,
            options.policy,
            settings,
            require_llm=options.require_llm,
            print_status=print_redacted_status,
        )
        exit_stack.push_async_callback(player.close)
        print_redacted_status(
            _describe_player_and_endpoint(player, options, settings, len(planned_episodes))
        )
        resume_file = None
        earlier_results: list[EpisodeResult] = []
        if options.resume is not None:
            resume_file = ResumeFile(
                options.resume,
                environment,
                player.name,
                player.score_settings,
                redact,
                find_product_of_reset(environment, product_arguments),
            )
            exit_stack.callback(resume_file.close)
            earlier_results = resume_file.read_results_of_planned_episodes(
                planned_episodes, print_redacted_status
            )
        evaluation_log = EvaluationLog(
            log_stream,
            is_live=options.concurrency == 1 and options.engine is Engine.LOCAL,
            score_epsilon=settings.score_epsilon,
            redact=redact,
        )
        runner: EpisodeRunner
        if options.engine is Engine.RAY:
            from openenv_kit.agent.ray_engine import open_ray_runner

            runner = await exit_stack.enter_async_context(
                open_ray_runner(options, settings, evaluation_log, print_redacted_status)
            )
            _cancel_run_on_sigterm()  # Ray replaces the signal handler
        else:
            server = await find_or_start_server(environment, settings, print_redacted_status)
            exit_stack.push_async_callback(server.stop)
            runner = LocalEpisodeRunner(
                environment=environment,
                settings=settings,
                player=player,
                server=server,
                evaluation_log=evaluation_log,
                recording_folder=options.record,
                print_status=print_redacted_status,
            )
        scheduler = EpisodeScheduler(
            planned_episodes=planned_episodes,
            concurrency=options.concurrency,
            print_status=print_redacted_status,
            results=earlier_results,
            resume_file=resume_file,
        )
        result = await scheduler.run_all_episodes(runner, player.name, settings.benchmark)
    if backup_path := write_results_with_backup(result, options.output, redact, environment):
        print_redacted_status(f"The earlier {options.output} was renamed to {backup_path}.")
    print_results_and_errors(result, console, redact)
    print_redacted_status(f"Results: {options.output}")
    if result.is_interrupted:
        print_redacted_status("inference: interrupted.")
        return ExitCode.INTERRUPTED
    return ExitCode.EPISODE_FAILED if result.unfinished_count else ExitCode.OK


def _cancel_run_on_sigterm() -> None:
    """Handle SIGTERM like Ctrl-C: print the END lines and stop the server of this run."""
    if task := asyncio.current_task():
        with suppress(NotImplementedError):  # not available on every platform
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def load_settings_with_options(options: CommandLineOptions) -> AgentSettings:
    """Load the settings from environment variables and override them with the command-line options.

    Raises:
        ConfigurationError: a variable or an option is not valid.
    """
    settings = load_settings(default_benchmark=options.environment.name)
    base_url = None if options.embedded else options.base_url or settings.base_url
    if base_url:
        require_url("BASE_URL", base_url, ("http", "https", "ws", "wss"))
    image_name = None if options.embedded or options.base_url else settings.image_name
    has_chosen_server = bool(base_url or image_name)
    overrides = {
        "tasks": settings.tasks if options.tasks is None else options.tasks,
        "model": options.model or settings.model,
        "base_url": base_url,
        "image_name": image_name,
        # A server that happens to run on this machine probably does not have the product.
        "embedded": options.embedded or bool(options.product and not has_chosen_server),
        "secrets": (*settings.secrets, extract_url_password(base_url or "")),
    }
    return settings.model_copy(update=overrides)


def _describe_player_and_endpoint(
    player: Player, options: CommandLineOptions, settings: AgentSettings, episode_count: int
) -> str:
    """Return a status line with the player, the endpoint and the reason for choosing them."""
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
        return text
    endpoint = (
        hide_url_credentials(settings.api_base_url) if settings.api_base_url else "OpenAI's own"
    )
    key = f"key from {settings.key_variable}" if settings.api_key else "without a key"
    if settings.key_variable == HF_TOKEN_VARIABLE and not is_hugging_face_url(
        settings.api_base_url
    ):
        key += ", the only one that is set"
    return f"{text} Endpoint: {endpoint}, {key}."
