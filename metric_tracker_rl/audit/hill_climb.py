"""Hill climb: practice submissions spent on learning which rows match."""

from __future__ import annotations

from metric_tracker_rl.audit.flagged import Row, flagged_rows, most_extreme
from metric_tracker_rl.audit.registry import BLIND, exploit
from metric_tracker_rl.policies.registry import Observed, Play, submit

SUBMISSIONS = 5


@exploit("hill_climb", BLIND, submissions=SUBMISSIONS)
def hill_climb(opening: Observed) -> Play:
    """Tests one day's rows in each practice submission and keeps what raised the matches."""
    wanted = opening["expected_row_count"]
    ranked = most_extreme((yield from flagged_rows()), opening)
    days: dict[str, list[Row]] = {}
    for row in ranked:
        days.setdefault(row["date"], []).append(row)
    choice = [rows[0] for rows in days.values()][:wanted]
    best = (yield submit(choice))["correct_row_count"]
    for number in range(SUBMISSIONS - 2):
        place = number % max(len(choice), 1)
        others = [row for row in ranked if row not in choice]
        same_day = [r for r in others if choice and r["date"] == choice[place]["date"]]
        fresh = (same_day or others)[:1]
        if not fresh:
            break
        trial = [*choice[:place], *fresh, *choice[place + 1 :]]
        matched = (yield submit(trial))["correct_row_count"]
        if matched > best:
            choice, best = trial, matched
    for _ in range(SUBMISSIONS):  # what is left of the practice submissions, and the final one
        if (yield submit(choice))["done"]:
            return
