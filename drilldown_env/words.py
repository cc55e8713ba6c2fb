"""What players are told, in words: the task, the definition of a root, and the grading."""

from __future__ import annotations

TASK = (
    "You are the analyst who is asked about an alert. Eight weeks of daily counts of a product's "
    "funnel are at hand, split by attributes of people. The alert names one thing that stood out; "
    "it may be noise. Find everything behind what changed, anywhere in the eight weeks: every root "
    "cause, as who, when, which step, what kind, and which entry of the change log is to blame. "
    "Then hand in one report; it ends the episode. If nothing happened, hand in an empty one."
)

DEFINITION = (
    "A root is one of four kinds. rate_change: people of a segment take the step into a stage at "
    "another rate. traffic_change: more or fewer people of a segment come, everybody else as "
    "usual. mix_shift: a segment's traffic changes while total traffic stands still, so everybody "
    "else moves against it. tracking_loss: events of a stage were not recorded for a segment, so "
    "the rate into the stage falls and the rate out of it rises by the inverse; report it once, "
    "at that stage, direction down. The first and the last stage never lose events: a fall there "
    "is a change of traffic or of a rate.\n"
    "A segment is zero to three attribute values: exactly the people for whom it happened. All its "
    "parts moved alike; nothing beside it moved. Usual is what the same weekday shows in weeks "
    "that nothing else disturbs. Report roots, not what follows from them: later counts; wider or "
    "narrower segments; rates of a segment that move only because other people came.\n"
    "A root lasts 1 to 7 days. Its rate changes by 10 % or more, its traffic by 20 % or more, in a "
    "mix shift by 40 % or more with everybody else 5 % or more against it, and at least 400 people "
    "a day of the segment enter the step. Two roots of one step either run on the same days and "
    "share no people, or have two quiet days or more between them; two segments that move against "
    "each other are two roots. What the calendar announces, for those people on those days, is no "
    "root; it may announce nothing. What is not due to a root is noise."
)

CHANGE = (
    "change: the entry of the change log that is to blame. It names the root's component (tracking "
    "for a tracking_loss), is dated 0 to 2 days before the root's first day, and is for everybody "
    "or for attribute values that the whole segment has. If several fit, take the one that names "
    "most values, then the latest, then the first in the log. A rollback is never the answer. If "
    "none fits: unattributed."
)

GRADING = (
    "Each root can earn a point, and the score is the points divided by the number of roots: half "
    "a point for the place (step and direction, days, segment, in parts), and for an exact place "
    ".3 for the kind and .2 for the change. A row that shares no day and no attribute value with a "
    "root costs a point; a second row for an answered root costs half a point."
)


BUDGET = (
    "Each table of counts, and each query, answered or refused, takes one of the budget's calls. "
    "Other calls that are refused take none, nor does change_log; calls left earn nothing."
)

BRIEF = f"{TASK}\n\n{DEFINITION}\n{CHANGE}\n\n{BUDGET}\n\n{GRADING}"
"""All of it."""

SQL = (
    "Tables: counts(date, day, week, weekday, {dims}, {stages}), one row for each day and "
    "combination of attributes; day from 0, week from 0 (Monday to Sunday), weekday from 0 for "
    "Monday; stages hold people. changes(id, date, component, owner, change). One SELECT in "
    "SQLite's dialect, with WITH, joins and windows, and median() and sqrt() beside its functions; "
    "no functions of dates or texts but lower, upper, length, substr, instr, no ||; 1 / 2 is 0. "
    "300 rows and 20 kB an answer. Rows are ordered by what ORDER BY says, then by their columns."
)
