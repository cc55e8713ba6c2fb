"""Describes the agreement of a player's report with the reporting policy's, line by line."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from openenv_kit.own_data.count_text import format_count
from openenv_kit.own_data.support import Agreement, InvestigatedRow, SummaryLine


def iter_agreement_lines(
    agreement: Agreement, player_name: str, stop_reason: str = ""
) -> Iterator[SummaryLine]:
    """Yield a line for each row that the player or the policy reported, and a line of totals."""
    for title, rows in (
        ("Both", agreement.both),
        ("Only player", agreement.only_player),
        ("Only policy", agreement.only_policy),
    ):
        for row in rows:
            yield SummaryLine(title, describe_row(row, agreement.percent_entity_types))
    if agreement.score is None:
        yield SummaryLine("Agreement", f"{player_name} submitted no report. {stop_reason}".strip())
        return
    policy_rows = len(agreement.both) + len(agreement.only_policy)
    player_rows = len(agreement.both) + len(agreement.only_player)
    yield SummaryLine(
        "Agreement",
        f"{player_name} reported {format_count(player_rows, 'row')}, the reporting policy "
        f"{policy_rows}; {len(agreement.both)} in common; score {agreement.score:.4f}",
    )


def describe_row(row: InvestigatedRow, percent_entity_types: Collection[str] = ()) -> str:
    """Describe a report row in one line."""
    unit = " %" if row.entity_type in percent_entity_types else ""
    return (
        f"{row.date} {row.entity_name}: {row.anomaly_type}, {row.observed_value:g}{unit} instead "
        f"of {row.baseline_value:g}{unit} ({row.severity})"
    )
