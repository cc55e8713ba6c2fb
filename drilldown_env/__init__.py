"""Drill-down: eight weeks of a product's counts by segment: who changed, when, how, and why.

It begins with an alert. Asked is every root behind what changed: people, days, step, kind, and the
change that is to blame. The way of the data:

`config` → `generator` (`clean`, `planner`, `definition`, `change_log`, `alert`) → `episode` →
`tools` → `report` → `grade`.
"""

__version__ = "0.8.0"
