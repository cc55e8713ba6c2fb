"""The system prompt: the task, the definition of a root in words, and the grading."""

from __future__ import annotations

SYSTEM_PROMPT = (
    "You analyse daily counts of a product's funnel. An alert names a step and a week that looked "
    "low; it may be noise. Find every root: a segment (one or two dimension values) whose people "
    "take a step less often on consecutive days, while everybody else takes it as usual. Submit "
    "one report; it ends the episode. If there is no root, submit no rows.\n"
    "A run of 3 to 14 days counts if the segment lost at least 20 % of the people expected from "
    "everybody else's rate on the same days, on each day at least half of its total loss, with 20 "
    "or more people entering on each day in the segment and beside it, and if the loss is 8 times "
    "its noise. compare shows expected people, the segment's noise scale and each day's spread. Of "
    "nested segments and overlapping runs, the root is the one that explains most (largest sum of "
    "squared daily scores): a wider one adds people who lost nothing, a narrower one misses some. "
    "Leave found roots out with `without` and look again, at every step. Calendar entries are no "
    "roots; leave them out too.\n"
    "change: the log entry of the step's component dated 0 to 2 days before the root's first day, "
    "for everybody or for values that the segment has. Of several, the one with most values, then "
    "the latest, then the first in the log. Otherwise unattributed.\n"
    "An exact row earns 1 (.3 for the change), a partly right one under .3. A row that meets no "
    "root costs 1, another row for an answered root .5. The score is the sum divided by the number "
    "of roots. change_log is free."
)
"""System prompt of every level."""

SQL_TABLES = (
    "Tables: counts(date, day, week, weekday, {dimensions}, {stages}), one row per day and "
    "combination of values, day and week from 0, weekday 0 is Monday, stages hold people; "
    "changes(id, date, component, scope, owner, change); calendar(step, segment, date_from, "
    "date_to, event). One SELECT in SQLite's dialect with WITH, joins and windows, also median() "
    "and sqrt(); of functions of texts and dates only lower, upper, length, substr and instr; no "
    "||; 1 / 2 is 0. At most 300 rows and 20 kB. Rows are ordered by ORDER BY, then by their "
    "columns."
)
"""Description of the SQL tables, with the names of dimensions and stages to fill in."""
