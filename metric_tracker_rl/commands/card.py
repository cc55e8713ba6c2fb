"""`metric-tracker card`: write the benchmark card from measured results, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from metric_tracker_rl.audit import BASELINES
from metric_tracker_rl.commands.card_plots import draw_plots
from metric_tracker_rl.engine.certificate import Certificate, certificate_from, totals
from metric_tracker_rl.engine.config import MIXED
from metric_tracker_rl.engine.levels import LEVELS
from metric_tracker_rl.engine.splits import SPLITS
from metric_tracker_rl.environment import ENVIRONMENT
from metric_tracker_rl.exploits import EXPLOITS
from metric_tracker_rl.exploits.base import ZERO_CALL as CEILING_WITHOUT_CALLS
from openenv_kit.cli.common import installed

Line = dict[str, Any]

AFTER_A_LOOK = ("constant_after_a_look", "visible_family_after_a_look", "upstream_first")
"""Players that look and do not read, in the order of the card's cells."""
TEMPLATE = Path(__file__).with_name("card_template.md")


def card(
    audit: Annotated[list[Path], typer.Option(help="Results of `audit --out`.", exists=True)],
    certificates: Annotated[Path, typer.Option(help="Results of `certify --out`.", exists=True)],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("docs/benchmark.md"),
) -> None:
    """Write the benchmark card and its plots."""
    installed("matplotlib", needed_for="the card")
    try:
        measured = [json.loads(file.read_text(encoding="utf-8")) for file in audit]
        lines: list[Line] = [line for each in measured for line in each["lines"]]
        told = [json.loads(each) for each in certificates.read_text().splitlines() if each]
        made_with = [each.pop("versions") for each in (*measured, *told)]
    except (json.JSONDecodeError, KeyError, TypeError) as problem:
        raise typer.BadParameter(f"not results of audit and certify: {problem!r}") from None
    if any(each != ENVIRONMENT.versions for each in made_with):
        raise typer.BadParameter(
            f"results of other versions than {ENVIRONMENT.versions}; measure again"
        )
    proofs = [certificate_from(each) for each in told]
    assets = out.parent / "assets"
    assets.mkdir(parents=True, exist_ok=True)
    draw_plots([line for line in lines if line["setting"] == MIXED], assets)
    repeats = [line for each in measured for line in each["repeats"]]
    out.write_text(_page(lines, proofs, repeats), encoding="utf-8")
    typer.echo(f"{out} and its plots written from {len(lines)} lines, {len(proofs)} certificates")


def _page(lines: Sequence[Line], proofs: Sequence[Certificate], repeats: Sequence[Line]) -> str:
    every = pd.DataFrame(lines)
    mixed = every[every["setting"] == MIXED]
    exploits = [name for name in mixed["policy"].unique() if name not in BASELINES]
    free = [name for name, each in EXPLOITS.items() if each.ceiling is CEILING_WITHOUT_CALLS]
    free.append("null")
    cards = {
        "scores": _pivot(mixed, "policy", BASELINES, "{mean:.3f} ({low:.3f} to {high:.3f})"),
        "exploits": _pivot(
            mixed.rename(columns={"policy": "exploit"}),
            "exploit",
            exploits,
            "{mean:.3f} / {perfect:.1%} [{max_mean:.2f} / {max_perfect:.0%}]",
        ),
        "best": _pivot(_best(every, free), "setting", None, "{mean:.3f} [{max_mean:.2f}]"),
        "looks": _pivot(_looks(every), "setting", None, "{means}"),
        "costs": _pivot(mixed, "policy", [*BASELINES, *exploits], "{calls:.1f} / {kb:.0f}"),
        "repeats": _repeats(repeats),
        "certificates": _certificates(proofs),
    }
    return TEMPLATE.read_text(encoding="utf-8").format(
        versions=", ".join(f"{name} {version}" for name, version in ENVIRONMENT.versions.items()),
        episodes=mixed["episodes"].iloc[0],
        policies=", ".join(f"`{name}`" for name in free),
        players=", ".join(f"`{name}`" for name in AFTER_A_LOOK),
        train=SPLITS.size("train"),
        **cards,
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def _pivot(lines: pd.DataFrame, by: str, names: Sequence[str] | None, cell: str) -> str:
    """A table with a row for each name (None: all there are) and a column for each level."""
    records = lines.to_dict("records")
    cells = {
        (line[by], line["difficulty"]): cell.format(kb=line.get("reply_bytes", 0) / 1000, **line)
        for line in records
    }
    levels = [level for level in LEVELS if level in set(lines["difficulty"])]
    kept = names or list(lines[by].unique())
    return _table(
        [by, *levels], ([name, *(cells[name, level] for level in levels)] for name in kept)
    )


def _best(lines: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """For each setting and level the highest mean of some policies, and their ceiling."""
    chosen = lines[lines["policy"].isin(names)].groupby(["setting", "difficulty"], sort=False)
    return chosen[["mean", "max_mean"]].max().reset_index()


def _looks(lines: pd.DataFrame) -> pd.DataFrame:
    """Mean scores of the players that look, one after the other in each cell."""
    wide = lines.pivot(index=["setting", "difficulty"], columns="policy", values="mean")
    means = wide.loc[:, list(AFTER_A_LOOK)].map("{:.3f}".format).agg(" / ".join, axis=1)
    order = pd.MultiIndex.from_frame(lines[["setting", "difficulty"]].drop_duplicates())
    return means.reindex(order).rename("means").reset_index()


def _repeats(repeats: Sequence[Line]) -> str:
    cells = "`{uses}`|{difficulty}|{first:.3f}|{second:.3f}|{plays:.1f}"
    head = ["uses", "level", "first play", "second play", "plays to 1.0"]
    return _table(head, [cells.format(**each).split("|") for each in repeats])


def _certificates(proofs: Sequence[Certificate]) -> str:
    head = ["level", "episodes", "solved", "unique", "guard", "rows undone", "margin", "draws"]
    rows = []
    for level in LEVELS:
        group = [each for each in proofs if each.config.difficulty == level]
        if group:
            undone, expected, margin, draws = totals(group)
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
    return _table(head, rows)
