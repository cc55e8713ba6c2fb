"""`python -m research.benchmark_report`: writes the benchmark report from measured results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pandas as pd
import typer

from metric_tracker_rl.audit import BASELINE_POLICIES, MODE_SETTINGS
from metric_tracker_rl.engine.certification.certificate import (
    FunnelCertificate,
    certificate_from_dict,
    compute_certificate_totals,
    count_distinct_drawn_policies_ignoring_wording,
)
from metric_tracker_rl.engine.configuration.splits import SPLITS
from metric_tracker_rl.engine.definitions.anomaly_types import MIXED
from metric_tracker_rl.engine.definitions.levels import LEVELS
from metric_tracker_rl.engine.definitions.names import PolicySource
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.exploits import EXPLOITS
from metric_tracker_rl.exploits.base import NO_TOOL_CEILING
from openenv_kit.cli.common import require_installed
from research.benchmark_report.modes import format_modes_part
from research.benchmark_report.plots import draw_plots
from research.benchmark_report.second_play import RepeatResult, measure_repeats
from research.benchmark_report.tables import level_table, markdown_table

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

ResultLine = dict[str, Any]
"""One audit line, audit document or certificate, as parsed from JSON."""

LOOK_ONLY_PLAYERS = ("constant_after_a_look", "visible_family_after_a_look", "upstream_first")
"""Players that make one call and ignore most of its result, in the order of the table's cells."""
MODES_PART_MARK = "<!-- modes of play -->"
"""Line in front of the part about modes of play."""
TEMPLATE = Path(__file__).with_name("funnel.md")
DEFAULT_OUTPUT = Path("research/benchmark_report/measured/benchmark-tables.md")
"""The committed page, which the documentation shows."""


class MeasuredResults(NamedTuple):
    """Documents of audits, and certificates."""

    audits: list[ResultLine]
    certificates: list[ResultLine]


class ModeResults(NamedTuple):
    """Audit lines of the modes of play, and certificates of varied policies."""

    audit_lines: list[ResultLine]
    certificates: list[ResultLine]


class ResultsByPart(NamedTuple):
    """Results for each part of the page."""

    modes: ModeResults
    funnel: MeasuredResults


@app.command()
def write_benchmark_report(
    audit: Annotated[
        list[Path] | None,
        typer.Option(help="Results of `audit --out`.", exists=True),
    ] = None,
    certificates: Annotated[
        list[Path] | None,
        typer.Option(help="Results of `certify --out`.", exists=True),
    ] = None,
    modes: Annotated[
        Path | None, typer.Option(help="Results of `research.measure_tokens --out`.", exists=True)
    ] = None,
    rungs: Annotated[
        Path | None, typer.Option(help="Results of `research.measure_levels --out`.", exists=True)
    ] = None,
    out: Annotated[Path, typer.Option(help="Page to write.")] = DEFAULT_OUTPUT,
) -> None:
    """Write the benchmark report and its plots.

    The first part needs results of audit and certify. The part about modes of play needs results
    of measure_tokens and measure_levels, of audits in these modes and of certificates of varied
    policies. A part without results stays as it is. If an audit line was measured twice, the one
    with more episodes counts.
    """
    require_installed("matplotlib", needed_for="the benchmark report")
    try:
        audits = [json.loads(file.read_text(encoding="utf-8")) for file in audit or ()]
        lines = [line for file in certificates or () for line in file.read_text().splitlines()]
        measured = MeasuredResults(audits, [json.loads(line) for line in lines if line])
        current = _results_of_current_versions(measured)
    except (json.JSONDecodeError, KeyError, TypeError) as problem:
        raise typer.BadParameter(f"not results of audit and certify: {problem!r}") from None
    if (len(current.audits), len(current.certificates)) != tuple(map(len, measured)):
        raise typer.BadParameter(
            f"some results are of other versions than {dict(ENVIRONMENT.versions)}; measure again"
        )
    results = _split_results_by_part(current)
    if len({bool(part) for part in (*results.modes, modes, rungs)}) > 1:
        raise typer.BadParameter(
            "the part about modes needs --modes, --rungs, audits of modes of play, and "
            "certificates of certify --reset policy=varied"
        )
    if bool(results.funnel.audits) != bool(results.funnel.certificates):
        raise typer.BadParameter("the first part needs both --audit and --certificates")
    page = out.read_text(encoding="utf-8") if out.exists() else ""
    funnel_part, _, modes_part = page.partition(MODES_PART_MARK)
    if results.funnel.audits:
        funnel_part = _build_funnel_part(results.funnel, out.parent)
    if modes and rungs:
        varied = [certificate_from_dict(item) for item in results.modes.certificates]
        modes_part = format_modes_part(
            json.loads(modes.read_text(encoding="utf-8")),
            json.loads(rungs.read_text(encoding="utf-8")),
            results.modes.audit_lines,
            _certificates_table(varied),
            count_distinct_drawn_policies_ignoring_wording(varied),
        )
    parts = [funnel_part.strip(), *([MODES_PART_MARK, modes_part.strip()] if modes_part else [])]
    out.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
    typer.echo(
        f"{out} written from {len(measured.audits)} audits and {len(measured.certificates)} "
        "certificates"
    )


def _split_results_by_part(results: MeasuredResults) -> ResultsByPart:
    modes, funnel = ModeResults([], []), MeasuredResults([], [])
    for certificate in results.certificates:
        is_varied = certificate["config"].get("policy") == PolicySource.VARIED
        (modes if is_varied else funnel).certificates.append(certificate)
    for audit in results.audits:
        funnel_lines: list[ResultLine] = []
        for line in audit["lines"]:
            is_mode = line["setting"] in MODE_SETTINGS
            (modes.audit_lines if is_mode else funnel_lines).append(line)
        if funnel_lines:
            funnel.audits.append({**audit, "lines": funnel_lines})
    return ResultsByPart(modes, funnel)


def _results_of_current_versions(results: MeasuredResults) -> MeasuredResults:
    """Return the results of the environment's current versions; certificates lose the versions."""
    versions = ENVIRONMENT.versions
    return MeasuredResults(
        audits=[audit for audit in results.audits if audit["versions"] == versions],
        certificates=[
            {name: value for name, value in certificate.items() if name != "versions"}
            for certificate in results.certificates
            if certificate["versions"] == versions
        ],
    )


def _build_funnel_part(results: MeasuredResults, folder: Path) -> str:
    """Draw the plots of the first part and return its text."""
    lines: list[ResultLine] = [line for audit in results.audits for line in audit["lines"]]
    assets = folder / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    draw_plots([line for line in lines if line["setting"] == MIXED], assets)
    certificates = [certificate_from_dict(item) for item in results.certificates]
    return _format_funnel_part(lines, certificates, measure_repeats())


def _format_funnel_part(
    lines: Sequence[ResultLine],
    certificates: Sequence[FunnelCertificate],
    repeats: Sequence[RepeatResult],
) -> str:
    all_lines = pd.DataFrame(lines)
    mixed = all_lines[all_lines["setting"] == MIXED]
    exploits = [name for name in mixed["policy"].unique() if name not in BASELINE_POLICIES]
    players_without_calls = [
        name for name, exploit in EXPLOITS.items() if exploit.ceiling is NO_TOOL_CEILING
    ]
    players_without_calls.append("null")
    tables = {
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
            _best_scores(all_lines, players_without_calls),
            "setting",
            None,
            "{mean:.3f} [{max_mean:.2f}]",
        ),
        "looks": _level_table(_look_only_scores(all_lines), "setting", None, "{means}"),
        "costs": _level_table(mixed, "policy", [*BASELINE_POLICIES, *exploits], "{calls:.1f}"),
        "repeats": _repeats_table(repeats),
        "certificates": _certificates_table(certificates),
    }
    return TEMPLATE.read_text(encoding="utf-8").format(
        versions=", ".join(f"{name} {version}" for name, version in ENVIRONMENT.versions.items()),
        episodes=mixed["episodes"].iloc[0],
        policies=", ".join(f"`{name}`" for name in players_without_calls),
        players=", ".join(f"`{name}`" for name in LOOK_ONLY_PLAYERS),
        train=SPLITS.size("train"),
        **tables,
    )


def _level_table(
    lines: pd.DataFrame, row_field: str, names: Sequence[str] | None, cell_format: str
) -> str:
    return level_table(lines, row_field, names, cell_format, LEVELS)


def _best_scores(lines: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the highest mean of some policies, and the ceiling, for each setting and level."""
    groups = lines[lines["policy"].isin(names)].groupby(["setting", "difficulty"], sort=False)
    return groups[["mean", "max_mean"]].max().reset_index()


def _look_only_scores(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the mean scores of `LOOK_ONLY_PLAYERS`, joined in one cell per setting and level."""
    wide = lines.pivot(index=["setting", "difficulty"], columns="policy", values="mean")
    means = wide.loc[:, list(LOOK_ONLY_PLAYERS)].map("{:.3f}".format).agg(" / ".join, axis=1)
    order = pd.MultiIndex.from_frame(lines[["setting", "difficulty"]].drop_duplicates())
    return means.reindex(order).rename("means").reset_index()


def _repeats_table(repeats: Sequence[RepeatResult]) -> str:
    titles = ["uses", "level", "first score", "second score", "episodes to 1.0"]
    rows = [
        [
            f"`{repeat.uses}`",
            repeat.difficulty,
            f"{repeat.first:.3f}",
            f"{repeat.second:.3f}",
            f"{repeat.plays:.1f}",
        ]
        for repeat in repeats
    ]
    return markdown_table(titles, rows)


def _certificates_table(certificates: Sequence[FunnelCertificate]) -> str:
    titles = ["level", "episodes", "solved", "unique", "guard", "rows undone", "margin", "draws"]
    rows = []
    for level in LEVELS:
        group = [item for item in certificates if item.config.difficulty == level]
        if group:
            undone, expected, margin, draws = compute_certificate_totals(group)
            rows.append(
                [
                    level,
                    f"{len(group):,}",
                    f"{sum(item.score == 1.0 for item in group) / len(group):.1%}",
                    f"{sum(item.unique for item in group) / len(group):.1%}",
                    str(sum(item.guard_violations for item in group)),
                    f"{undone:,} of {expected:,}",
                    f"{margin:.3f}",
                    f"{draws:.3f}",
                ]
            )
    return markdown_table(titles, rows)


if __name__ == "__main__":
    app()
