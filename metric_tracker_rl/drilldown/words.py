"""What a player is told: the definition of the answer in words, and how the report is graded."""

from __future__ import annotations

BRIEF = """\
You are a careful product analyst. You are given eight weeks of daily counts of a product funnel, \
which you can see through read-only tools only: counts by segment, stage and day, and a change \
log. \
Nothing is flagged, and totals may look calm. Find every root cause and report exactly these.

How to work:
- The first message holds the definition of a root, the grading, the names and the budget. \
What you read is budgeted: each reply says how much of it, and how many calls, are left. A reply \
costs what it holds, so you can tell the cost before you ask; a call that would cost more than is \
left is refused and costs nothing but itself. The budget is far less than all there is to read.
- Compare a day with the same weekday of other weeks. Hold composition apart: a total may move \
because other people came while no segment's rate did, and two segments may cancel each other.
- Narrow each change down to the exact segment, the exact days and the kind; look at the step \
after it before you call a fall a rate change. Then look its change up in the log.
- Then submit once with submit_report. It ends the episode and is scored from 0 to 1. A report \
without rows is right where there is no root.
Answer with tool calls; text alone does nothing."""
"""The system prompt. It holds no answer and no scoring trick."""

TASK = "Find every root cause in eight weeks of daily counts and submit one report of them."

DEFINITION = """\
A root is a kind, a stage, a segment and a run of days.
- rate_change: people of the segment take the step into that stage at another rate than usual.
- traffic_change: more or fewer people of the segment come, everybody else as usual. Its stage \
is the first one.
- mix_shift: the segment's traffic changes while total traffic stands still: everybody else \
moves against it. Its stage is the first one.
- tracking_loss: events of a stage were not recorded for the segment: the rate into the stage \
falls and the rate out of it rises by the inverse. Name that stage, once. It is never the first \
or the last stage.
Two steps in a row that change for one segment on the same days are one tracking_loss where their \
two factors multiply to between 0.88 and 1.12, else two rate_changes.
A segment is zero to three attribute values: exactly the people for whom it happened. All its \
parts moved alike; nothing beside it moved. Usual is what the same weekday shows in the other \
weeks. Report roots, not what follows from them: later counts; wider or narrower segments; rates \
of a segment that move only because other people came, while no part's rate moved.
Promises: a root's rate changes by 10 % or more, its traffic by 20 % or more, in a mix shift by \
40 % or more with everybody else at 5 % or more against it. On each of its days at least \
400 people enter the step in a root's segment, or usually come where traffic changes; smaller \
segments are too small to judge. On each of its days a root stands out eightfold from the noise \
of its segment: that of its counts, together with 2.5 % of traffic or 0.7 % of a rate, by which \
segments of a day wobble without a cause. Everybody shares one such wobble, and each value of one \
of the attributes has another; beside these a segment has the noise of its counts alone. Roots of \
one step share all their days or are two quiet days apart, and share no people. A run is 1 to 7 \
days. What is not due to a root is noise. There may be no root at all.
change: the change-log entry of the root's component whose scope holds the whole segment and \
whose date is 0 to 2 days before the root's first day; of several the latest, of one day the \
first in the log; without one, unattributed. The component of a tracking loss is tracking, of \
any other root that of its stage. Most entries have nothing to do with a root."""

GRADING = """\
A right row counts 1, split 0.50 for its place (stage, segment, dates), 0.30 for the kind and \
0.20 for the change; a segment or dates that overlap without being right count half their \
overlap. A row that meets no root costs 1, one that only meets a root answered already 0.5, a \
repeated place or a row that cannot be read 1. The score is the sum over the number of roots, at \
least 0; without roots it is 1 for the empty report, else 0."""

ROW_FORMAT = {
    "kind": "rate_change, traffic_change, mix_shift or tracking_loss",
    "stage": "the stage that the step leads into; the first stage for traffic_change and mix_shift",
    "segment": "object of dimension: value with 0 to 3 entries, {} for everybody",
    "date_from": "first day, YYYY-MM-DD",
    "date_to": "last day, YYYY-MM-DD",
    "change": "id of a change-log entry, or unattributed",
}
