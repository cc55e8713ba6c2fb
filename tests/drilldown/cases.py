"""Episodes that tests share, and queries that analysts and others write."""

from __future__ import annotations

from drilldown_env.config import DrillConfig
from drilldown_env.episode import Episode
from drilldown_env.session import episode_of

EASY = DrillConfig(3, "drill_easy", "saas_trial", 2)
FAINT = DrillConfig(5, "drill", "ordering_app", 3)
HARD = DrillConfig(8, "drill_hard", "marketplace_checkout", 4)
EMPTY = DrillConfig(2, "drill_easy", "video_streaming", 0)
WIDE = DrillConfig(1, "drill_sql", "saas_trial", 2)


def episode(config: DrillConfig) -> Episode:
    """The episode of a configuration, kept by the process."""
    return episode_of(config)


def _nested(text: str, times: int) -> str:
    """A column in many NULLIF, one in another."""
    found = "signups"
    for _ in range(times):
        found = text.format(found)
    return found


CROSS = "FROM counts a, counts b"
HOSTILE = (
    f"SELECT {_nested('NULLIF({0}, 1)', 30)} FROM counts",
    f"SELECT {_nested('NULLIF({0}, {0})', 7)} FROM counts",
    f"SELECT {_nested('CASE WHEN {0} > 1 THEN {0} END', 5)} FROM counts",
    f"SELECT {'(' * 300}1{')' * 300}",
    f"SELECT count(*) {CROSS}, counts c",
    f"SELECT a.date, b.date {CROSS} ORDER BY a.signups * b.signups",
    f"SELECT DISTINCT a.signups * b.signups {CROSS}",
    f"SELECT median(a.signups + b.signups) {CROSS}",
    f"SELECT sum(a.signups) OVER (ORDER BY b.signups) {CROSS}",
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT max(x) FROM r",
    "WITH RECURSIVE r(x) AS (SELECT 1 UNION SELECT x + 1 FROM r) SELECT x FROM r ORDER BY x",
    "SELECT " + " + ".join(["signups"] * 900) + " FROM counts",
    " UNION ALL ".join(["SELECT 1"] * 200),
    "SELECT * FROM sqlite_master",
    "PRAGMA hard_heap_limit=0",
    "ATTACH '/tmp/x.db' AS x",
    "SELECT load_extension('x')",
    "SELECT randomblob(100000000)",
    "SELECT datetime('now')",
    "SELECT 1; DELETE FROM counts",
    "DELETE FROM counts",
    "SELECT readfile('/etc/passwd')",
    "SELECT group_concat(date) FROM counts",
    "SELECT zeroblob(1000000000)",
    "EXPLAIN SELECT 1",
    "SELECT current_timestamp",
)
"""Queries that may not take the server, and are refused or answered alike for ever."""

RATE = "1.0 * sum(signups) / sum(pricing_views)"
WEEKLY = f"SELECT plan, week, {RATE} AS r FROM counts GROUP BY plan, week"
ORDINARY = (
    "SELECT count(*) FROM counts",
    "SELECT * FROM counts LIMIT 3",
    "SELECT * FROM changes",
    "SELECT week, sum(pricing_views) AS visits FROM counts GROUP BY week",
    "SELECT day, weekday, date, sum(signups) FROM counts GROUP BY day, weekday, date",
    WEEKLY,
    f"{WEEKLY} ORDER BY r DESC",
    f"{WEEKLY} HAVING r > 0.2 ORDER BY plan, r LIMIT 5 OFFSET 2",
    f"WITH w AS ({WEEKLY}) SELECT plan, avg(r), min(r), max(r) FROM w GROUP BY plan",
    f"WITH w AS ({WEEKLY}) SELECT plan, median(r) FROM w GROUP BY plan",
    f"WITH w AS ({WEEKLY}), m AS (SELECT plan, median(r) AS m FROM w GROUP BY plan) "
    "SELECT w.plan, week, r / m - 1 AS change FROM w JOIN m ON w.plan = m.plan ORDER BY change",
    f"WITH w AS ({WEEKLY}) SELECT plan, week, r, lag(r) OVER (PARTITION BY plan ORDER BY week) "
    "FROM w",
    f"WITH w AS ({WEEKLY}) SELECT plan, week, rank() OVER (ORDER BY r DESC) AS place FROM w",
    f"WITH w AS ({WEEKLY}) SELECT plan, week, avg(r) OVER (PARTITION BY plan ORDER BY week "
    "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM w",
    "SELECT plan, CASE WHEN day < 28 THEN 'early' ELSE 'late' END AS part, sum(signups) "
    "FROM counts GROUP BY plan, part",
    "SELECT region, sum(CASE WHEN week = 3 THEN signups ELSE 0 END) AS now, "
    "sum(CASE WHEN week <> 3 THEN signups END) / 7.0 AS usual FROM counts GROUP BY region",
    "SELECT plan, region, sum(signups) FROM counts WHERE weekday BETWEEN 0 AND 4 GROUP BY 1, 2",
    "SELECT plan, region, company_size, sum(signups) AS s FROM counts WHERE week IN (2, 3) "
    "GROUP BY plan, region, company_size HAVING s > 1000 ORDER BY s DESC LIMIT 20",
    "SELECT DISTINCT plan, region FROM counts",
    "SELECT plan FROM counts UNION SELECT region FROM counts",
    "SELECT date FROM counts WHERE day < 3 INTERSECT SELECT date FROM counts WHERE day > 1",
    "SELECT max(signups) - min(signups), total(signups), count(DISTINCT plan) FROM counts",
    "SELECT component, count(*) FROM changes GROUP BY component ORDER BY 2 DESC, 1",
    "SELECT id, change FROM changes WHERE change LIKE '%plan%' AND change NOT LIKE 'rollback%'",
    "SELECT c.date, c.id FROM changes c WHERE c.date >= (SELECT min(date) FROM changes)",
    "SELECT c.id, sum(signups) FROM changes c JOIN counts k ON k.date = c.date GROUP BY c.id",
    "SELECT c.id FROM changes c LEFT JOIN counts k ON k.date = c.date WHERE k.date IS NULL",
    "SELECT week, sqrt(sum(signups)) FROM counts GROUP BY week",
    "SELECT week, round(100.0 * sum(signups) / sum(pricing_views), 2) FROM counts GROUP BY week",
    "SELECT week, CAST(sum(signups) AS REAL) / sum(pricing_views) FROM counts GROUP BY week",
    "SELECT coalesce(nullif(sum(signups), 0), 1), abs(-3), ifnull(NULL, 2), iif(1 < 2, 'a', 'b') "
    "FROM counts",
    "SELECT upper(plan), length(region), substr(source, 1, 3) FROM counts GROUP BY plan, region",
    "WITH RECURSIVE d(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM d WHERE n < 9) SELECT n FROM d",
    "SELECT (SELECT sum(signups) FROM counts WHERE week = 1) * 1.0 / (SELECT sum(signups) FROM "
    "counts WHERE week = 2) AS ratio",
    "SELECT plan, week, sum(signups) * 1.0 / sum(sum(signups)) OVER (PARTITION BY week) AS share "
    "FROM counts GROUP BY plan, week",
    "SELECT ntile(4) OVER (ORDER BY sum(signups)) AS quarter, plan, region FROM counts "
    "GROUP BY plan, region",
    "SELECT region, first_value(day) OVER (PARTITION BY region ORDER BY sum(signups) DESC) "
    "FROM counts GROUP BY region, day LIMIT 10",
    "SELECT * FROM (SELECT plan, day, sum(signups) AS s FROM counts GROUP BY plan, day) AS t "
    "WHERE s > 5000 ORDER BY s",
    "SELECT plan, day % 7 AS d, median(signups) FROM counts GROUP BY plan, d -- by weekday",
    "WITH s AS (SELECT region, day, sum(signups) AS n FROM counts GROUP BY region, day) "
    "SELECT a.region, a.day, a.n - b.n AS change FROM s a JOIN s b ON a.region = b.region AND "
    "a.day = b.day + 7 ORDER BY abs(a.n - b.n) DESC LIMIT 12",
    "SELECT sum(k.signups * 1.0 / u.s) FROM counts k JOIN (SELECT plan, day, sum(signups) AS s "
    "FROM counts GROUP BY plan, day) u ON u.plan = k.plan AND u.day = k.day",
)
"""Queries that analysts write; all of them are answered."""
