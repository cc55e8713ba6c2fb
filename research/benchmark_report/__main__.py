"""`python -m research.benchmark_report`: write the benchmark card from measured results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from metric_tracker_rl.audit import BASELINE_POLICIES, MODE_SETTINGS
from metric_tracker_rl.engine.certification.certificate import (
    FunnelCertificate,
    certificate_from_dict,
    certificate_totals,
    count_drawn_policies,
)
from metric_tracker_rl.engine.configuration.episode_config import MIXED
from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import PolicySource
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.exploits import EXPLOITS
from metric_tracker_rl.exploits.base import NO_TOOL_CEILING as CEILING_WITHOUT_CALLS
from openenv_kit.cli.common import require_installed
from research.benchmark_report import modes as modes_part
from research.benchmark_report.plots import draw_plots
from research.benchmark_report.second_play import RepeatResult, measure_repeats
from research.benchmark_report.tables import level_table, markdown_table

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

ResultLine = dict[str, Any]
AuditsAndCertificates = tuple[list[ResultLine], list[ResultLine]]
"""Results of audits, and certificates."""

LOOK_ONLY_PLAYERS = ("constant_after_a_look", "visible_family_after_a_look", "upstream_first")
"""Players that look and do not read, in the order of the card's cells."""
MODES_PART_MARK = "<!-- modes of play -->"
"""Stands before the part about modes of play."""
TEMPLATE = Path(__file__).with_name("funnel.md")
DEFAULT_OUTPUT = Path("research/benchmark_report/measured/benchmark-tables.md")
"""The page that is committed; the documentation shows it."""


@app.command()
def write_benchmark_report(
    audit: Annotated[
        list[Path] | None, typer.Option(help="Results of `audit --out`.", exists=True)
    ] = None,
    certificates: Annotated[
        list[Path] | None, typer.Option(help="Results of `certify --out`.", exists=True)
    ] = None,
    modes: Annotated[
        Path | None, typer.Option(help="Results of `modes --out`.", exists=True)
    ] = None,
    rungs: Annotated[
        Path | None, typer.Option(help="Results of `rungs --out`.", exists=True)
    ] = None,
    out: Annotated[Path, typer.Option(help="The page to write.")] = DEFAULT_OUTPUT,
) -> None:
    """Write the benchmark card and its plots.

    The first part is written from results of audits and certificates, and the part about modes of
    play from those of `modes` and `rungs`, of audits in these modes and of certificates of varied
    policies; without any, a part is left as it is. Of two audits of one line the one of more
    episodes counts.
    """
    require_installed("matplotlib", needed_for="the card")
    try:
        audits = [json.loads(file.read_text(encoding="utf-8")) for file in audit or ()]
        lines = [line for file in certificates or () for line in file.read_text().splitlines()]
        proofs = [json.loads(each) for each in lines if each]
        funnel = _results_of_current_versions(audits, proofs)
    except (json.JSONDecodeError, KeyError, TypeError) as problem:
        raise typer.BadParameter(f"not results of audit and certify: {problem!r}") from None
    if len(funnel[0]) < len(audits) or len(funnel[1]) < len(proofs):
        known = dict(ENVIRONMENT.versions)
        raise typer.BadParameter(f"results of other versions than {known}; measure again")
    (in_modes, drawn), funnel = _split_results_by_part(funnel)
    if len({bool(results) for results in (in_modes, drawn, modes, rungs)}) > 1:
        raise typer.BadParameter(
            "the part about modes needs results of audit, modes, rungs and certify --reset "
            "policy=varied"
        )
    if bool(funnel[0]) != bool(funnel[1]):
        raise typer.BadParameter("the first part needs results of both audit and certify")
    page = out.read_text(encoding="utf-8") if out.exists() else ""
    first, _, middle = page.partition(MODES_PART_MARK)
    if funnel[0]:
        first = _build_funnel_part(*funnel, out.parent)
    if modes and rungs:
        found, ladder = (json.loads(file.read_text(encoding="utf-8")) for file in (modes, rungs))
        varied = [certificate_from_dict(each) for each in drawn]
        solved = _certificates_table(varied)
        middle = modes_part.format_modes_part(
            found, ladder, in_modes, solved, count_drawn_policies(varied)
        )
    parts = [first.strip(), *([MODES_PART_MARK, middle.strip()] if middle else [])]
    out.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    typer.echo(f"{out} written from {len(audits)} audits and {len(proofs)} certificates")


def _split_results_by_part(
    results: AuditsAndCertificates,
) -> tuple[AuditsAndCertificates, AuditsAndCertificates]:
    """Lines in modes of play and certificates of varied policies, and the results without them."""
    audits, proofs = results
    drawn: list[ResultLine] = []
    usual: list[ResultLine] = []
    for proof in proofs:
        (drawn if proof["config"].get("policy") == PolicySource.VARIED else usual).append(proof)
    lines = [line for each in audits for line in each["lines"] if line["setting"] in MODE_SETTINGS]
    rest = [
        {**each, "lines": others}
        for each in audits
        if (others := [line for line in each["lines"] if line["setting"] not in MODE_SETTINGS])
    ]
    return (lines, drawn), (rest, usual)


def _results_of_current_versions(
    audits: Sequence[ResultLine], proofs: Sequence[ResultLine]
) -> AuditsAndCertificates:
    """Results of audits, and certificates, that were made under today's versions."""
    versions = ENVIRONMENT.versions
    audited = [each for each in audits if each["versions"] == versions]
    proven = [
        {name: value for name, value in each.items() if name != "versions"}
        for each in proofs
        if each["versions"] == versions
    ]
    return audited, proven


def _build_funnel_part(
    audited: Sequence[ResultLine], proven: Sequence[ResultLine], folder: Path
) -> str:
    """The first part; draws its plots."""
    lines: list[ResultLine] = [line for each in audited for line in each["lines"]]
    assets = folder / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    draw_plots([line for line in lines if line["setting"] == MIXED], assets)
    proofs = [certificate_from_dict(each) for each in proven]
    return _format_funnel_part(lines, proofs, measure_repeats())


def _format_funnel_part(
    lines: Sequence[ResultLine],
    proofs: Sequence[FunnelCertificate],
    repeats: Sequence[RepeatResult],
) -> str:
    every = pd.DataFrame(lines)
    mixed = every[every["setting"] == MIXED]
    exploits = [name for name in mixed["policy"].unique() if name not in BASELINE_POLICIES]
    free = [name for name, each in EXPLOITS.items() if each.ceiling is CEILING_WITHOUT_CALLS]
    free.append("null")
    cards = {
        "scores": _level_table(
            mixed, "policy", BASELINE_POLICIES, "{mean:.3f} ({low:.3f} to {high:.3f})"
        ),
        "exploits": _level_table(
            mixed.rename(columns={"policy": "exploit"}),
            "exploit",
            exploits,
            "{mean:.3f} / {perfect:.1%} [{max_mean:.2f} / {max_perfect:.0%}]",
        ),
        "best": _level_table(
            _best_scores(every, free), "setting", None, "{mean:.3f} [{max_mean:.2f}]"
        ),
        "looks": _level_table(_look_only_scores(every), "setting", None, "{means}"),
        "costs": _level_table(mixed, "policy", [*BASELINE_POLICIES, *exploits], "{calls:.1f}"),
        "repeats": _repeats_table(repeats),
        "certificates": _certificates_table(proofs),
    }
    return TEMPLATE.read_text(encoding="utf-8").format(
        versions=", ".join(f"{name} {version}" for name, version in ENVIRONMENT.versions.items()),
        episodes=mixed["episodes"].iloc[0],
        policies=", ".join(f"`{name}`" for name in free),
        players=", ".join(f"`{name}`" for name in LOOK_ONLY_PLAYERS),
        train=SPLITS.size("train"),
        **cards,
    )


def _level_table(lines: pd.DataFrame, by: str, names: Sequence[str] | None, cell: str) -> str:
    return level_table(lines, by, names, cell, LEVELS)


def _best_scores(lines: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """For each setting and level the highest mean of some policies, and their ceiling."""
    chosen = lines[lines["policy"].isin(names)].groupby(["setting", "difficulty"], sort=False)
    return chosen[["mean", "max_mean"]].max().reset_index()


def _look_only_scores(lines: pd.DataFrame) -> pd.DataFrame:
    """Mean scores of the players that look, one after the other in each cell."""
    wide = lines.pivot(index=["setting", "difficulty"], columns="policy", values="mean")
    means = wide.loc[:, list(LOOK_ONLY_PLAYERS)].map("{:.3f}".format).agg(" / ".join, axis=1)
    order = pd.MultiIndex.from_frame(lines[["setting", "difficulty"]].drop_duplicates())
    return means.reindex(order).rename("means").reset_index()


def _repeats_table(repeats: Sequence[RepeatResult]) -> str:
    cells = "`{uses}`|{difficulty}|{first:.3f}|{second:.3f}|{plays:.1f}"
    head = ["uses", "level", "first play", "second play", "plays to 1.0"]
    return markdown_table(head, [cells.format(**vars(each)).split("|") for each in repeats])


def _certificates_table(proofs: Sequence[FunnelCertificate]) -> str:
    head = ["level", "episodes", "solved", "unique", "guard", "rows undone", "margin", "draws"]
    rows = []
    for level in LEVELS:
        group = [each for each in proofs if each.config.difficulty == level]
        if group:
            undone, expected, margin, draws = certificate_totals(group)
            rows.append(
                [
                    level,
                    f"{len(group):,}",
                    f"{sum(each.score == 1.0 for each in group) / len(group):.1%}",
                    f"{sum(each.unique for each in group) / len(group):.1%}",
                    str(sum(each.guard_violations for each in group)),
                    f"{undone:,} of {expected:,}",
                    f"{margin:.3f}",
                    f"{draws:.3f}",
                ]
            )
    return markdown_table(head, rows)


if __name__ == "__main__":
    app()
