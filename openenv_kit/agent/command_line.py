"""The command line of `inference.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from openenv_kit.environment import (
    Environment,
    default_task_names,
    find_environment_entry_points,
    get_environment,
)
from openenv_kit.errors import InvalidValueError, UnknownNameError, require_name
from openenv_kit.reset_arguments import parse_reset_argument

DEFAULT_POLICY = "reference"
LOCAL_ENGINE, RAY_ENGINE = ENGINE_NAMES = ("local", "ray")
EXCLUSIVE_OPTIONS = (("require_llm", "policy"), ("policy", "model"), ("embedded", "base_url"))


def _parse_positive_integer(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= 100_000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 1 to 100000")


def _parse_assignment(text: str) -> tuple[str, Any]:
    """Name and value of a reset argument, with a mistake told as argparse tells them."""
    try:
        return parse_reset_argument(text)
    except InvalidValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def _option_field(
    help: str, metavar: str = "", default: Any = None, **argparse_arguments: Any
) -> Any:
    """An option of a text or another `type`; without a metavar it is a switch."""
    if not metavar:
        return field(default=False, metadata={"help": help, "action": "store_true"})
    return field(default=default, metadata={"help": help, "metavar": metavar, **argparse_arguments})


@dataclass
class CommandLineOptions:
    """What was asked for; None leaves the choice to the settings."""

    environment: Environment
    tasks: str | None = _option_field(
        "comma-separated task ids, or split:start-stop (stop not included), or both; default: "
        "{tasks} (MetricTrackerRl_TASK)",
        "LIST",
    )
    episodes: int = _option_field(
        "plays of each task: the first with the task's own seed, the others with seeds derived "
        "from it; a split's episodes are repeated as they are (default 1)",
        "N",
        1,
        type=_parse_positive_integer,
    )
    concurrency: int = _option_field(
        "episodes at a time (default 1)", "N", 1, type=_parse_positive_integer
    )
    engine: str = _option_field(
        f"who plays them: {LOCAL_ENGINE} (default), or {RAY_ENGINE}, the workers of the cluster "
        "that RAY_ADDRESS names, or of a new one on this machine (the `ray` extra)",
        "NAME",
        LOCAL_ENGINE,
    )
    resume: Path | None = _option_field(  # noqa: RUF009 - a field, as of the others
        "keep each finished episode in FILE, and play only those that it does not hold yet",
        "FILE",
        type=Path,
    )
    policy: str | None = _option_field(
        "play this scripted policy, even if a key is set: {policies} (default without a key: "
        f"{DEFAULT_POLICY})",
        "NAME",
    )
    model: str | None = _option_field("the model (MODEL_NAME)", "NAME")
    require_llm: bool = _option_field("fail without a key; never play a policy")
    seed: int | None = _option_field("seed of the first play of each named task", "N", type=int)
    reset: list[tuple[str, Any]] | None = _option_field(  # noqa: RUF009
        "a further argument of every reset, such as max_steps=32; may be repeated",
        "NAME=VALUE",
        type=_parse_assignment,
        action="append",
    )
    base_url: str | None = _option_field("environment server to use (BASE_URL)", "URL")
    embedded: bool = _option_field(
        "start an environment server for this run, whatever else is configured or running"
    )
    record: Path | None = _option_field(  # noqa: RUF009
        "record each episode as DIR/<task>.jsonl", "DIR", type=Path
    )
    output: Path = _option_field(  # noqa: RUF009
        "results as JSON (default results.json); a file of that name is kept under another",
        "FILE",
        Path("results.json"),
        type=Path,
    )


def parse_options(arguments: Sequence[str] | None = None) -> CommandLineOptions:
    """Options from a command line; exits with 2 on a wrong one, as argparse does."""
    first = argparse.ArgumentParser(prog="inference.py", add_help=False)
    first.add_argument("--environment", metavar="NAME")
    # The other options' choices depend on it.
    chosen, _ = first.parse_known_args(arguments)
    try:
        environment = get_environment(chosen.environment)
    except UnknownNameError as problem:
        first.error(str(problem))
    parser = argparse.ArgumentParser(
        prog="inference.py",
        description=f"Play {environment.title} with a model behind an OpenAI-compatible endpoint "
        "or, without a key, with a scripted policy. START, STEP and END lines go to standard "
        "output, everything else to standard error.",
        epilog="Exit codes: 0 ran, 1 a task failed to run, 2 bad settings, 130 interrupted. "
        "Variables (also from .env.inference): HF_TOKEN, OPENAI_API_KEY or API_KEY; "
        "API_BASE_URL or OPENAI_BASE_URL; MODEL_NAME or OPENAI_MODEL; BASE_URL; IMAGE_NAME; "
        "TEMPERATURE; MAX_TOKENS; MAX_TOOL_ROUNDS; and those of docs/agent.md.",
    )
    choices = {
        "names": ", ".join(find_environment_entry_points()),
        "tasks": ", ".join(default_task_names(environment)),
        "policies": ", ".join(environment.policies),
    }
    about = f"what to play: {choices['names']} (ENVIRONMENT; default {environment.name})"
    parser.add_argument("--environment", metavar="NAME", help=about)
    for each in fields(CommandLineOptions)[1:]:
        name = f"--{each.name}".replace("_", "-")
        described = {**each.metadata, "help": each.metadata["help"].format(**choices)}
        parser.add_argument(name, default=each.default, **described)
    given = {**vars(parser.parse_args(arguments)), "environment": environment}
    for one, other in EXCLUSIVE_OPTIONS:
        if given[one] and given[other]:
            parser.error(f"--{one} and --{other} exclude each other".replace("_", "-"))
    try:
        if given["policy"]:
            require_name("policy", given["policy"], environment.policies)
        require_name("engine", given["engine"], ENGINE_NAMES)
    except UnknownNameError as problem:
        parser.error(str(problem))
    return CommandLineOptions(**given)
