"""The command line of `inference.py`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from openenv_kit.environment import Environment, environments, get_environment
from openenv_kit.errors import UnknownNameError, require_name

DEFAULT_POLICY = "reference"
DEFAULT_OUTPUT = Path("results.json")
EXCLUSIVE = (("require_llm", "policy"), ("policy", "model"), ("embedded", "base_url"))


class Options(argparse.Namespace):
    """What was asked for; None leaves the choice to the settings."""

    environment: Environment
    tasks: str | None
    episodes: int
    concurrency: int
    policy: str | None
    model: str | None
    require_llm: bool
    seed: int | None
    base_url: str | None
    embedded: bool
    record: Path | None
    output: Path
    report: Path | None


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Options from a command line; exits with 2 on a wrong one, as argparse does."""
    environment = _environment(arguments)
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
    add = parser.add_argument
    names = ", ".join(environments())
    add(
        "--environment",
        metavar="NAME",
        help=f"what to play: {names} (ENVIRONMENT; default {environment.name})",
    )
    add(
        "--tasks",
        metavar="LIST",
        help="comma-separated task ids, or split:start-stop (stop not included), or both; "
        f"default: {', '.join(environment.default_tasks)} (MetricTrackerRl_TASK)",
    )
    add(
        "--episodes",
        type=_positive,
        default=1,
        metavar="N",
        help="plays of each task: the first with the task's own seed, the others with seeds "
        "derived from it; a split's episodes are repeated as they are (default 1)",
    )
    add(
        "--concurrency",
        type=_positive,
        default=1,
        metavar="N",
        help="episodes at a time (default 1)",
    )
    add(
        "--policy",
        metavar="NAME",
        help="play this scripted policy, even if a key is set: "
        f"{', '.join(environment.policies)} (default without a key: {DEFAULT_POLICY})",
    )
    add("--model", metavar="NAME", help="the model (MODEL_NAME)")
    add("--require-llm", action="store_true", help="fail without a key; never play a policy")
    add("--seed", type=int, metavar="N", help="seed of the first play of each named task")
    add("--base-url", metavar="URL", help="environment server to use (BASE_URL)")
    add(
        "--embedded",
        action="store_true",
        help="start an environment server for this run, whatever else is configured or running",
    )
    add("--record", type=Path, metavar="DIR", help="record each episode as DIR/<task>.jsonl")
    add(
        "--output",
        type=Path,
        default=DEFAULT_OUTPUT,
        metavar="FILE",
        help=f"results as JSON (default {DEFAULT_OUTPUT})",
    )
    add("--report", type=Path, metavar="FILE", help="also write a self-contained HTML report")
    chosen = parser.parse_args(arguments, Options())
    for one, other in EXCLUSIVE:
        if getattr(chosen, one) and getattr(chosen, other):
            parser.error(f"--{one} and --{other} exclude each other".replace("_", "-"))
    try:
        if chosen.policy:
            require_name("policy", chosen.policy, environment.policies)
    except UnknownNameError as problem:
        parser.error(f"argument --policy: {problem}")
    chosen.environment = environment
    return chosen


def _environment(arguments: Sequence[str] | None) -> Environment:
    """The environment asked for; the other options' choices depend on it."""
    first = argparse.ArgumentParser(prog="inference.py", add_help=False)
    first.add_argument("--environment")
    chosen, _ = first.parse_known_args(arguments)
    try:
        return get_environment(chosen.environment)
    except UnknownNameError as problem:
        first.error(str(problem))


def _positive(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 100_000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 1 to 100000")
