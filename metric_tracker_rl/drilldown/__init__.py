"""The drill-down tier: which people, which days, which step, what kind of change, because of what.

The agent sees eight weeks of daily counts of a product funnel through aggregates by segment and a
change log. Nothing is flagged and no threshold is told. It reports roots: a kind, a stage, a
segment, a run of days and the change behind it. The way of the data:

    config → clean → causes → counts → definition → accepted or not → change log
           → episode → tools → report → grade → session

`definition` reads counts alone and cannot see `causes`; the generator accepts a draw only where
the two agree. Nothing here knows a transport.
"""
