"""Clauses of the reporting policy's text for episodes in which a report is a list of ids.

The ids come from the tool `scan`, which has already applied the definitions and thresholds, and the
server fills in the fields of the rows. The first message of such an episode therefore states the
rules without formulas to keep the message short. The tool `overview` returns the complete text if
it is called with `details`.
"""

from __future__ import annotations

from metric_tracker_rl.engine.definitions.names import ScanContent
from metric_tracker_rl.engine.reporting_policy.clauses import CLAUSES, Clause

SCAN_CLAUSES: dict[ScanContent, str] = {
    ScanContent.FLAGGED: "scan lists every flagged series, roots and consequences; it names a "
    "large drop of a step rate, a funnel break, STAGE_from_STAGE.",
    ScanContent.DEVIATIONS: "scan lists series that change, flagged or not. A series is flagged "
    "if its change, up or down, reaches its threshold in overview; STAGE_lte_STAGE is always "
    "flagged.",
    ScanContent.DATES: "scan lists dates, and day the values of all series of a date. A series is "
    "flagged if its change from the median, up or down, reaches its threshold in overview. Changes "
    "are relative, (value - median) / median; that of the daytime share is value - median. "
    "STAGE_lte_STAGE is always flagged.",
}
"""What `scan` lists and what is flagged, by the content of `scan`."""

_TEXTS_BY_BEGINNING: dict[str, Clause | None] = {
    "Stages": Clause(
        "Stages in funnel order are {stages}.",
        "The funnel's stages, from the first to the last, are {stages}.",
    ),
    "Step rates": Clause(
        "Step rates, in order, are {steps}.",
        "The rates of the steps, from the first to the last, are {steps}.",
    ),
    "Composite rates": Clause(
        "Composite rates are {composite_names}.",
        "Rates over several steps are called composite: {composite_names}.",
    ),
    "Daytime share": None,
    "A denominator": None,
    "{baseline}": None,
    "The deviation": None,
    "A series is flagged": None,
    "(1)": Clause(
        "(1) Impossible counts: each STAGE_lte_STAGE is a root; if a day has one, report nothing "
        "else for that day.",
        "(1) Impossible counts: every STAGE_lte_STAGE is a root. A day with such a root has no "
        "root of any other rule.",
    ),
    "(2)": Clause(
        "(2) Traffic mix: a flagged daytime share is a root.",
        "(2) Traffic mix: the daytime share is a root where it is flagged.",
    ),
    "(3)": Clause(
        "(3) One stage's events lost or doubled: a flagged stage that is neither first nor last, "
        "with the step rates into and out of it flagged with opposite signs and the stages before "
        "and after it not flagged, is a root; those two rates are its consequences.",
        "(3) One stage's events lost or doubled: between the first stage and the last, a stage is "
        "a root where it is flagged, the stages next to it are not, and the step rates into it and "
        "out of it are both flagged, one up and the other down. The two rates are its "
        "consequences.",
    ),
    "(4)": Clause(
        "(4) A step moved: each flagged step rate that is not a consequence is a root; later "
        "stages and composites are its consequences.",
        "(4) A step moved: a flagged step rate that rule 3 has not made a consequence is a root. "
        "Later stages and composites are its consequences.",
    ),
    "(5)": Clause(
        "(5) A slow leak: if no step rate is flagged that day, not even as a consequence, the "
        "flagged composite that spans the {leak} stages is a root.",
        "(5) A slow leak: on a day without any flagged step rate, consequences counted too, one "
        "composite is a root: of those flagged, the one over the {leak} stages.",
    ),
    "(6)": Clause(
        "(6) Traffic: a flagged first stage is a root; all later stages are its consequences.",
        "(6) Traffic: the first stage is a root where it is flagged, and all later stages are its "
        "consequences.",
    ),
}
"""Texts of clauses that differ for reports of ids, by the beginning of the complete clause.

None: the clause is omitted.
"""


def _find_text_for_ids(clause: Clause) -> Clause | None:
    for beginning, text in _TEXTS_BY_BEGINNING.items():
        if clause.default.startswith(beginning):
            return text
    return clause


CLAUSES_FOR_IDS: tuple[Clause | None, ...] = tuple(map(_find_text_for_ids, CLAUSES))
"""Each clause of `CLAUSES` as it reads for a report of ids; None for a clause that is omitted."""
