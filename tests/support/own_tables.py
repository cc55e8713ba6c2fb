"""Tables that visitors of the debugger upload in tests."""

from __future__ import annotations

from datetime import date, timedelta

PLANTED = 7_654_321
"""Count of the first stage on the last day."""
FORMS = (b"7654321", b"7,654,321", b"7.654321")
"""How the planted number could be written."""
DAYS = 98
START = date(2024, 1, 1)


def build_daily_csv(first_stage: str = "visits", *, has_planted_count: bool = True) -> bytes:
    """Return a table of fourteen weeks with three stages."""
    lines = [f"date,{first_stage},carts,orders"]
    for day in range(DAYS):
        is_planted = has_planted_count and day == DAYS - 1
        visits = PLANTED if is_planted else 4000 + 37 * (day % 5) + 11 * (day % 3)
        counts = (visits, visits * 6 // 10 + day % 4, visits * 36 // 100 + day % 7)
        lines.append(",".join(map(str, (START + timedelta(days=day), *counts))))
    return ("\n".join(lines) + "\n").encode()


MALFORMED = {
    "empty": b"",
    "no_dates": b"a,b\n1,2\n3,4\n",
    "nul_bytes": b"date,visits,orders\n2024-01-01,1\x00,1\n",
    "ragged": b"date,visits,orders\n2024-01-01,5,4\n2024-01-02,5,4,3\n",
    "unclosed_quote": b'date,visits,orders\n2024-01-01,"5,4\n',
    "short": b"date,visits,orders\n2024-01-01,50,40\n2024-01-02,51,41\n",
    "negative": build_daily_csv().replace(b"4000", b"-4000"),
    "text_in_counts": build_daily_csv().replace(b"4000", b"many"),
    "ambiguous_dates": b"date,visits,orders\n"
    + b"".join(b"%02d/%02d/2024,50,40\n" % (day, month) for month in (1, 2) for day in (1, 2)),
    "wrong_parquet": b"PAR1 this is no Parquet file PAR1",
}
"""Ten files that the importer refuses, by what is wrong with them."""
