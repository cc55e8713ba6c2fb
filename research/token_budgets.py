"""`python -m research.token_budgets`: measures token budgets and writes the files that use them.

These are `token_budgets.json` of each environment, and the figures in the docs. Run the command
again after a change of an environment's texts, tools, levels or reference policy.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from openenv_kit.cli.common import WorkersOption, report_usage_errors, require_installed
from openenv_kit.datasets.split_rows import list_task_rows, reset_arguments_from_row
from openenv_kit.environment import get_environment
from openenv_kit.errors import require_name
from openenv_kit.rollouts.curriculum import RUNG_LEVEL_NAMES
from openenv_kit.rollouts.measure_token_budget import compute_token_percentiles
from openenv_kit.rollouts.token_budgets import (
    DigitTokens,
    TokenBudget,
    find_token_budget,
    get_token_budgets_path,
    write_token_budgets,
)
from research.benchmark_report.tables import markdown_table
from research.tokens import ENCODING, count_tokens
from research.transcript import build_transcript

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

ROOT = Path(__file__).resolve().parent.parent
SPLIT = "train"
LEVELS: Mapping[str, tuple[str, ...]] = {
    "metric_tracker_rl": ("easy", "medium", "hard", "expert"),
    "drilldown": ("drill_easy", "drill", "drill_hard", "drill_sql"),
    "firewatch": ("easy", "medium", "hard"),
}
LEAN = {"profile": "lean"}
MEASURED_MODES: Mapping[str, tuple[Mapping[str, str], ...]] = {"metric_tracker_rl": ({}, LEAN)}
"""Modes of play that are measured, for environments with more than the default one."""
TEMPLATE_TOKENS = 80
"""Tokens that Qwen's chat template adds to the first two messages and the tool schemas."""
TEMPLATE_TOKENS_PER_CALL = 18
"""Tokens that Qwen's chat template adds to a tool call and its result."""
SHOWN_RUNGS: Mapping[str, tuple[str, ...]] = {
    "metric_tracker_rl": ("rung_1", "rung_2", "rung_3", "rung_4", "rung_5"),
    "drilldown": ("rung_1", "rung_4", "rung_7", "rung_10"),
    "firewatch": ("rung_1", "rung_4", "rung_7", "rung_10"),
}
"""Numbered levels in the table of the docs; `metric-tracker budgets` prints all."""
DIGIT_RUN = re.compile(r"\d+")
DOCS_PAGE = Path("docs/training.md")
BEGIN_MARK, END_MARK = "<!-- python -m research.token_budgets -->", "<!-- end -->"


class BudgetCase(NamedTuple):
    """Episodes that are measured together: one level in one mode of play."""

    environment: str
    level: str
    reset: Mapping[str, Any]


class EpisodeTokens(NamedTuple):
    """Tokens of one episode."""

    prompt: int
    completion: int


@app.command()
def measure_token_budgets(
    tasks: Annotated[int, typer.Option(min=2, help="Tasks of each level.")] = 40,
    environment: Annotated[
        list[str] | None, typer.Option(help=f"Only this of {', '.join(LEVELS)}; may be repeated.")
    ] = None,
    workers: WorkersOption = 1,
) -> None:
    """Play the reference policy on every level, count tokens, and write the figures."""
    require_installed("bpe_openai", needed_for="counting tokens")
    with report_usage_errors():
        names = [require_name("environment", name, LEVELS) for name in environment or LEVELS]
    with ProcessPoolExecutor(workers or None) as pool:
        for name in names:
            measured = get_environment(name)
            budgets_by_case = pool.map(partial(measure_case, tasks=tasks), list_cases(name))
            budgets = [budget for case_budgets in budgets_by_case for budget in case_budgets]
            path = get_token_budgets_path(measured)
            write_token_budgets(
                path,
                budgets,
                {"versions": dict(measured.versions), "encoding": ENCODING, "split": SPLIT},
            )
            typer.echo(f"{name}: {len(budgets)} budgets in {path}")
    for page, text in updated_pages().items():
        (ROOT / page).write_text(text, encoding="utf-8")


def list_cases(environment: str) -> list[BudgetCase]:
    """Return every level and rung of an environment in each mode of play."""
    levels = (*LEVELS[environment], *list_numbered_levels(environment))
    modes = MEASURED_MODES.get(environment, ({},))
    return [BudgetCase(environment, level, mode) for mode, level in product(modes, levels)]


def list_numbered_levels(environment: str) -> tuple[str, ...]:
    """Return the names of an environment's numbered levels, which have splits of their own."""
    return tuple(getattr(get_environment(environment).splits, "splits_by_level", RUNG_LEVEL_NAMES))


def measure_case(case: BudgetCase, tasks: int) -> list[TokenBudget]:
    """Play the reference policy on tasks of one level. Return a budget for each tokenizer."""
    environment = get_environment(case.environment)
    rows = list_task_rows(SPLIT, 0, tasks, case.environment, case.reset, case.level)
    texts = [
        build_transcript(
            environment,
            environment.policies["reference"],
            reset_arguments_from_row(row, environment.name),
        )
        for row in rows
    ]
    return [_build_budget(case, digits, texts) for digits in DigitTokens]


def _build_budget(
    case: BudgetCase, digits: DigitTokens, texts: Sequence[Sequence[str]]
) -> TokenBudget:
    counts = [count_episode_tokens(episode_texts, digits) for episode_texts in texts]
    return TokenBudget(
        case.level,
        digits,
        len(counts),
        prompt=compute_token_percentiles(count.prompt for count in counts),
        completion=compute_token_percentiles(count.completion for count in counts),
        total=compute_token_percentiles(sum(count) for count in counts),
        reset=case.reset,
    )


def count_episode_tokens(texts: Sequence[str], digits: DigitTokens) -> EpisodeTokens:
    """Count the tokens of a transcript in the format of a chat template: JSON with spaces.

    Args:
        texts: system prompt, schemas, first user message, then alternating calls and results.
        digits: how the tokenizer splits numbers.
    """
    system_prompt, schemas, first_message, *turns = texts
    tools = [json.dumps(tool, ensure_ascii=False) for tool in json.loads(schemas)]
    calls = [json.dumps(json.loads(call), ensure_ascii=False) for call in turns[::2]]
    count = partial(_count_tokens_by_digits, digits=digits)
    return EpisodeTokens(
        count([system_prompt, *tools, first_message]) + TEMPLATE_TOKENS,
        count([*calls, *turns[1::2]]) + TEMPLATE_TOKENS_PER_CALL * len(calls),
    )


def _count_tokens_by_digits(texts: Iterable[str], digits: DigitTokens) -> int:
    texts = list(texts)
    grouped_count = count_tokens(texts)
    if digits is DigitTokens.GROUPED:
        return grouped_count
    # The encoding has up to three digits in a token.
    runs = [len(run) for text in texts for run in DIGIT_RUN.findall(text)]
    return grouped_count + sum(length - math.ceil(length / 3) for length in runs)


def updated_pages() -> dict[str, str]:
    """Return the text of the documentation pages with current figures, by path."""
    updates = {DOCS_PAGE: _replace_table, Path("docs/environments.md"): _replace_overview_row}
    return {
        str(page): update((ROOT / page).read_text(encoding="utf-8"))
        for page, update in updates.items()
    }


def budgets_table() -> str:
    """Return the docs' table of every environment's levels and some of its rungs."""
    rows = [
        [
            f"`{case.environment}`",
            ", ".join([case.level, *case.reset.values()]),
            *(
                f"{getattr(grouped, part).p50:,} / {getattr(grouped, part).p95:,}"
                for part in TOKEN_PARTS
            ),
            f"{single.completion.p50:,} / {single.completion.p95:,}",
        ]
        for case, grouped, single in _iter_case_budgets()
        if case.level in (*LEVELS[case.environment], *SHOWN_RUNGS[case.environment])
    ]
    titles = ["environment", "level", *TOKEN_PARTS, "completion, one token a digit"]
    return markdown_table(titles, rows, text_columns=2)


TOKEN_PARTS = ("prompt", "completion", "total")


class _CaseBudgets(NamedTuple):
    """Budgets of one case for the two kinds of tokenizers."""

    case: BudgetCase
    grouped: TokenBudget
    single: TokenBudget


def _iter_case_budgets() -> Iterator[_CaseBudgets]:
    for name in LEVELS:
        environment = get_environment(name)
        for case in list_cases(name):
            budgets = [
                find_token_budget(environment, case.level, case.reset, digits)
                for digits in DigitTokens
            ]
            yield _CaseBudgets(case, *(budget for budget in budgets if budget is not None))


def _replace_table(text: str) -> str:
    before, _, rest = text.partition(BEGIN_MARK)
    _, end, after = rest.partition(END_MARK)
    if not end:
        raise ValueError(f"{DOCS_PAGE} needs the lines {BEGIN_MARK!r} and {END_MARK!r}")
    return f"{before}{BEGIN_MARK}\n\n{budgets_table()}\n\n{END_MARK}{after}"


def _median_thousand_tokens(name: str, reset: Mapping[str, Any]) -> list[float]:
    """Return the thousands of tokens of the median episode of each named level."""
    return [
        budgets.grouped.total.p50 / 1000
        for budgets in _iter_case_budgets()
        if budgets.case.environment == name
        and budgets.case.level in LEVELS[name]
        and budgets.case.reset == reset
    ]


def _replace_overview_row(text: str) -> str:
    cells = []
    for name in LEVELS:
        ranges = [
            _format_range(_median_thousand_tokens(name, mode))
            for mode in MEASURED_MODES.get(name, ({},))
        ]
        cells.append("; lean ".join(ranges))
    row = f"| tokens of a reference episode | {' | '.join(cells)} |"
    return re.sub(
        r"^\| tokens of a reference episode \|.*$", row, text, count=1, flags=re.MULTILINE
    )


def _format_range(counts: Sequence[float]) -> str:
    return f"{min(counts):.1f}k to {max(counts):.1f}k"


if __name__ == "__main__":
    app()
