"""The command line of `inference.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from openenv_kit.environment import (
    DEFAULT_TASK_COUNT,
    Environment,
    find_environment_entry_points,
    get_environment,
    list_default_task_names,
)
from openenv_kit.errors import InvalidValueError, UnknownNameError, require_name
from openenv_kit.reset_arguments import NamedValue, parse_reset_argument

DEFAULT_POLICY = "reference"
MAX_COUNT = 100_000
"""Largest value of `--episodes` and `--concurrency`."""


class Engine(StrEnum):
    """Where episodes are played: in this process or on a Ray cluster."""

    LOCAL = "local"
    RAY = "ray"


ENGINE_NAMES = [engine.value for engine in Engine]


class ExclusiveOptions(NamedTuple):
    """Two options that cannot be combined, by their names in `CommandLineOptions`."""

    first: str
    second: str


EXCLUSIVE_OPTIONS = (
    ExclusiveOptions("require_llm", "policy"),
    ExclusiveOptions("policy", "model"),
    ExclusiveOptions("embedded", "base_url"),
)


@dataclass(frozen=True)
class CommandLineOptions:
    """Parsed command-line options. None means that an option was not given, so the settings apply.

    Attributes:
        environment: environment to play.
        tasks: value of `--tasks`. Each of the other attributes is named after its option, too.
    """

    environment: Environment
    tasks: str | None
    episodes: int
    concurrency: int
    engine: Engine
    resume: Path | None
    policy: str | None
    model: str | None
    require_llm: bool
    seed: int | None
    reset: list[NamedValue] | None
    base_url: str | None
    embedded: bool
    product: Path | None
    level: str | None
    record: Path | None
    output: Path


def parse_options(arguments: Sequence[str] | None = None) -> CommandLineOptions:
    """Parse a command line; print an error and exit with code 2 if an option is invalid.

    Args:
        arguments: command-line arguments; None for the arguments of this process.
    """
    environment = _parse_environment_option(arguments)
    parser = _build_option_parser(environment)
    values = vars(parser.parse_args(arguments))
    for pair in EXCLUSIVE_OPTIONS:
        if values[pair.first] and values[pair.second]:
            message = f"--{pair.first} and --{pair.second} exclude each other"
            parser.error(message.replace("_", "-"))
    try:
        values["engine"] = Engine(require_name("engine", values["engine"], ENGINE_NAMES))
        if values["policy"]:
            require_name("policy", values["policy"], environment.policies)
    except UnknownNameError as problem:
        parser.error(str(problem))
    return CommandLineOptions(**{**values, "environment": environment})


def _parse_environment_option(arguments: Sequence[str] | None) -> Environment:
    """Return the environment that `--environment` names, which affects other options' help."""
    parser = argparse.ArgumentParser(prog="inference.py", add_help=False)
    parser.add_argument("--environment", metavar="NAME")
    name: str | None = parser.parse_known_args(arguments)[0].environment
    try:
        return get_environment(name)
    except UnknownNameError as problem:
        parser.error(str(problem))


def _build_option_parser(environment: Environment) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="inference.py",
        description=f"Play {environment.title} with a model behind an OpenAI-compatible endpoint "
        "or, without a key, with a scripted policy. START, STEP and END lines go to standard "
        "output, everything else to standard error.",
        epilog="Exit codes: 0 all tasks ran, 1 a task failed to run, 2 invalid settings, 130 "
        "interrupted. Variables (also from .env.inference): HF_TOKEN, OPENAI_API_KEY or API_KEY; "
        "API_BASE_URL or OPENAI_BASE_URL; MODEL_NAME or OPENAI_MODEL; BASE_URL; IMAGE_NAME; "
        "TEMPERATURE; MAX_TOKENS; MAX_TOOL_ROUNDS; and those of docs/agent.md.",
    )
    parser.add_argument(
        "--environment",
        metavar="NAME",
        help=f"environment to play: {', '.join(find_environment_entry_points())} (ENVIRONMENT; "
        f"default {environment.name})",
    )
    parser.add_argument(
        "--tasks",
        metavar="LIST",
        help="comma-separated task ids, or split:start-stop (stop not included), or both; "
        f"default: {', '.join(list_default_task_names(environment))} (MetricTrackerRl_TASK), or "
        f"with --product or --level the first {DEFAULT_TASK_COUNT} of the first split",
    )
    parser.add_argument(
        "--episodes",
        metavar="N",
        type=_parse_positive_count,
        default=1,
        help="episodes of each task: the first with the task's own seed, the others with seeds "
        "derived from it; tasks of a split fix their seed and are repeated unchanged (default 1)",
    )
    parser.add_argument(
        "--concurrency",
        metavar="N",
        type=_parse_positive_count,
        default=1,
        help="largest number of episodes at the same time (default 1)",
    )
    parser.add_argument(
        "--engine",
        metavar="NAME",
        default=Engine.LOCAL.value,
        help=f"where episodes are played: {Engine.LOCAL} (default), or {Engine.RAY}, on the "
        "workers of the cluster in RAY_ADDRESS, or of a new one on this machine (needs the `ray` "
        "extra)",
    )
    parser.add_argument(
        "--resume",
        metavar="FILE",
        type=Path,
        help="append each finished episode to FILE, and skip the episodes that it contains",
    )
    parser.add_argument(
        "--policy",
        metavar="NAME",
        help="play this scripted policy, even if a key is set: "
        f"{', '.join(environment.policies)} (default without a key: {DEFAULT_POLICY})",
    )
    parser.add_argument("--model", metavar="NAME", help="name of the model (MODEL_NAME)")
    parser.add_argument(
        "--require-llm",
        action="store_true",
        help="fail if no key is set, instead of playing a scripted policy",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=int,
        help="seed of the first episode of each named task",
    )
    parser.add_argument(
        "--reset",
        metavar="NAME=VALUE",
        type=_parse_reset_option,
        action="append",
        help="additional argument of every reset, such as max_steps=32; may be repeated",
    )
    parser.add_argument(
        "--product",
        metavar="FILE",
        type=Path,
        help="play episodes of your own table, from the product file that `metric-tracker import` "
        "wrote",
    )
    parser.add_argument(
        "--level",
        metavar="NAME",
        help="only tasks of this level; a range of --tasks then counts the tasks of the level",
    )
    parser.add_argument(
        "--base-url", metavar="URL", help="address of the environment server (BASE_URL)"
    )
    parser.add_argument(
        "--embedded",
        action="store_true",
        help="start an environment server for this run, even if one is configured or running",
    )
    parser.add_argument(
        "--record", metavar="DIR", type=Path, help="record each episode as DIR/<task>.jsonl"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        default=Path("results.json"),
        help="results as JSON (default results.json); an existing file is renamed",
    )
    return parser


def _parse_positive_count(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= MAX_COUNT:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 1 to {MAX_COUNT}")


def _parse_reset_option(text: str) -> NamedValue:
    try:
        return parse_reset_argument(text)
    except InvalidValueError as problem:  # argparse prints only errors of its own type
        raise argparse.ArgumentTypeError(str(problem)) from None
