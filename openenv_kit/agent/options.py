"""The command line of `inference.py`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from openenv_kit.environment import Environment, environments, get_environment
from openenv_kit.errors import UnknownNameError, unknown_name_message

DEFAULT_POLICY = "reference"
DEFAULT_OUTPUT = Path("results.json")


@dataclass(frozen=True)
class Options:
    """What was asked for; None where the settings decide."""

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
    parser.add_argument(
        "--environment",
        metavar="NAME",
        help=f"which environment: {', '.join(environments())} (ENVIRONMENT; default "
        f"{environment.name})",
    )
    parser.add_argument(
        "--tasks",
        metavar="LIST",
        help="comma-separated task ids, or split:start-stop (stop not included), or both; "
        f"default: {', '.join(environment.default_tasks)} (MetricTrackerRl_TASK)",
    )
    parser.add_argument(
        "--episodes",
        type=_positive,
        default=1,
        metavar="N",
        help="plays of each task: the first with the task's own seed, the others with seeds "
        "derived from it; a split's episodes are repeated as they are (default 1)",
    )
    parser.add_argument(
        "--concurrency",
        type=_positive,
        default=1,
        metavar="N",
        help="episodes at a time (default 1)",
    )
    parser.add_argument(
        "--policy",
        type=lambda text: _known("policy", text, environment.policies),
        metavar="NAME",
        help="play this scripted policy, key or no key: "
        f"{', '.join(environment.policies)} (default without a key: {DEFAULT_POLICY})",
    )
    parser.add_argument("--model", metavar="NAME", help="the model (MODEL_NAME)")
    parser.add_argument(
        "--require-llm", action="store_true", help="no key is an error, never a scripted run"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="seed of the first play of each named task"
    )
    parser.add_argument("--base-url", metavar="URL", help="environment server to use (BASE_URL)")
    parser.add_argument(
        "--embedded",
        action="store_true",
        help="start an environment server for this run, whatever else is configured or running",
    )
    parser.add_argument(
        "--record", type=Path, metavar="DIR", help="record each episode as DIR/<task>.jsonl"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=DEFAULT_OUTPUT,
        metavar="FILE",
        help=f"results as JSON (default {DEFAULT_OUTPUT})",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="also write a self-contained HTML report"
    )
    chosen = parser.parse_args(arguments)
    if chosen.require_llm and chosen.policy:
        parser.error("--require-llm and --policy exclude each other")
    if chosen.policy and chosen.model:
        parser.error("--policy and --model exclude each other")
    if chosen.embedded and chosen.base_url:
        parser.error("--embedded and --base-url exclude each other")
    return Options(**{**vars(chosen), "environment": environment})


def _environment(arguments: Sequence[str] | None) -> Environment:
    """The environment asked for: the other options' choices are its own."""
    first = argparse.ArgumentParser(prog="inference.py", add_help=False)
    first.add_argument("--environment")
    chosen, _ = first.parse_known_args(arguments)
    try:
        return get_environment(chosen.environment)
    except UnknownNameError as problem:
        first.error(str(problem))


def _known(kind: str, text: str, allowed: Iterable[str]) -> str:
    if text not in (names := tuple(allowed)):
        raise argparse.ArgumentTypeError(unknown_name_message(kind, text, names))
    return text


def _positive(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 100_000:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 1 to 100000")
