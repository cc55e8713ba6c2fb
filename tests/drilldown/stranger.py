"""A client by somebody else: plays a drill-down task over a wire, and imports nothing of ours.

It knows what the documentation says of the messages and of where hidden causes show, and of an
episode what the replies say. Its analysis is its own and enough for `drill_easy`: weeks of pairs of
values, the weeks of the segments of three that they point to, the days of those that stand out,
what moved against these on the same days, then the kind and the change-log entry.

    python stranger.py http://127.0.0.1:8000 drill_easy_saas_trial ws|http|mcp
"""

from __future__ import annotations

import datetime as dt
import json
import math
import sys
import urllib.request
from itertools import combinations, product
from statistics import median
from typing import Any, NamedTuple

from websockets.sync.client import connect

SCATTER = (0.02, 0.006)
"""Day-to-day noise of traffic and of rates that no volume averages out, as the data show it."""
SURE = 5.5
LIKELY, OWN = 3.0, 4.5
"""Standard deviations, of three tables together, at which the week of a segment is looked at, and
those of its own week at which its days are."""
MOST_LOOKS, PARTNERS = 120, 12
DAYS, WEEKS, MOST_RANGES = 56, 8, 5
Segment = frozenset[tuple[str, str]]
Rows = list[list[float]]
"""People by stage and week."""


class Run(NamedTuple):
    """A row of days of one channel, which is the step into a stage, or traffic."""

    channel: int
    first: int
    stop: int

    @property
    def weeks(self) -> set[int]:
        return {day // 7 for day in range(self.first, self.stop)}


class OverWebSocket:
    """Messages on /ws."""

    def __init__(self, url: str, task: str) -> None:
        self.socket = connect(f"{url.replace('http', 'ws', 1)}/ws")
        self.opening = self.send("reset", {"task_id": task})["observation"]

    def send(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        self.socket.send(json.dumps({"type": kind, "data": data}))
        answer: dict[str, Any] = json.loads(self.socket.recv())["data"]
        return answer

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        told = self.send("step", {"analysis_method": tool, "analysis_args": arguments})
        return {**told["observation"], "reward": told["reward"]}


class OverHttp:
    """POST /reset and /step."""

    def __init__(self, url: str, task: str) -> None:
        self.url = url
        told = self.post("/reset", {"task_id": task})
        self.opening, self.episode_id = told["observation"], told["episode_id"]
        self.player_id = told["player_id"]

    def post(self, path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        sent = {"content-type": "application/json", **headers}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), sent)
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.loads(response.read())
            return answer

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        action = {"analysis_method": tool, "analysis_args": arguments}
        told = self.post("/step", {"action": action, "episode_id": self.episode_id})
        return {**told["observation"], "reward": told["reward"]}


class OverMcp(OverHttp):
    """tools/call on /mcp, in the session of the player whom the reset named."""

    def rpc(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self.post("/mcp", request, **{"mcp-session-id": self.player_id})
        result: dict[str, Any] = answer["result"]
        return result

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        assert tool in [each["name"] for each in self.rpc("tools/list", {})["tools"]]
        told: dict[str, Any] = self.rpc("tools/call", {"name": tool, "arguments": arguments})
        content: dict[str, Any] = told["structuredContent"]
        return content


DOORS = {"ws": OverWebSocket, "http": OverHttp, "mcp": OverMcp}


class Analyst:
    """Finds the roots of an easy episode."""

    def __init__(self, door: Any) -> None:
        self.door = door
        self.told = self.ask("overview")
        self.stages: list[str] = self.told["stages"]
        self.dims: dict[str, list[str]] = self.told["dimensions"]
        first = dt.date.fromisoformat(self.told["first_date"])
        self.dates = [(first + dt.timedelta(days=n)).isoformat() for n in range(DAYS)]
        self.moved: dict[Run, dict[Segment, float]] = {}
        """Factors on the rates or traffic of segments."""
        self.mixes: set[Run] = set()

    def ask(self, tool: str, **arguments: Any) -> Any:
        told = self.door.call(tool, arguments)
        assert told["status"] == "analyzed", told["message"]
        assert told["numbers_left"] >= 0
        assert told["calls_left"] > 0
        return told["analysis_result"]["result"]

    def read_weeks(self) -> None:
        """Weeks of everybody, of single values and of pairs beside the median week, by channel.

        The first value of a dimension is what the others leave, and is not asked for.
        """
        weekly = self.weeks_of()
        for dim, values in self.dims.items():
            weekly |= self.weeks_of(dim)
            others = [weekly[frozenset({(dim, value)})] for value in values[1:]]
            weekly[frozenset({(dim, values[0])})] = less(weekly[frozenset()], others)
        for one, other in combinations(self.dims, 2):
            weekly |= self.weeks_of(one, other)
            for dim, beside in ((one, other), (other, one)):
                first, *rest = self.dims[beside]
                done = self.dims[dim][1:] if dim == one else self.dims[dim]
                for own in [(dim, value) for value in done]:
                    others = [weekly[frozenset({own, (beside, value)})] for value in rest]
                    total = weekly[frozenset({own})]
                    weekly[frozenset({own, (beside, first)})] = less(total, others)
        self.weekly = [
            {segment: beside_usual(rows, channel) for segment, rows in weekly.items()}
            for channel in range(len(self.stages))
        ]

    def weeks_of(self, *dims: str) -> dict[Segment, Rows]:
        """Weeks of the segments of some dimensions, but for first values."""
        where = {dim: self.dims[dim][1:] for dim in dims}
        found: dict[Segment, Rows] = {}
        for *values, stage, counts in self.ask(
            "slice", group_by=list(dims), where=where, every="week"
        )["rows"]:
            segment = frozenset(zip(dims, values, strict=True))
            found.setdefault(segment, [[], [], [], [], []])
            found[segment][self.stages.index(stage)] = counts
        return found

    def evidence(self, channel: int, segment: Segment) -> list[float]:
        """Standard deviations that three tables show together of each week of three values."""
        known = self.weekly[channel]
        everybody, _ = known[frozenset()]
        total, variance = [0.0] * WEEKS, 0.0
        for pair in map(frozenset, combinations(segment, 2)):
            own, weight = known[pair]
            (one, of_one), (other, of_other) = (known[frozenset({value})] for value in pair)
            beside = [w - x - y + z for w, x, y, z in zip(own, one, other, everybody, strict=True)]
            usual = median(beside)
            total = [sum_ + each - usual for sum_, each in zip(total, beside, strict=True)]
            variance += 1.2 * (1 - weight / of_one) * (1 - weight / of_other) / weight
        return [each / math.sqrt(variance) for each in total]

    def find_mixes(self) -> set[int]:
        """Find segments of one or two values whose traffic moved; the weeks in which it did."""
        everybody, _ = self.weekly[0][frozenset()]
        likely = []
        for segment, (changes, weight) in self.weekly[0].items():
            for week, change in enumerate(changes):
                if abs(change - everybody[week]) >= 0.03:
                    gain = weight * (change - everybody[week]) ** 2
                    likely.append((gain, week, segment))
        weeks: set[int] = set()
        for _, week, segment in sorted(likely, key=lambda each: -each[0]):
            if week not in weeks:
                weeks.add(week)
                for run, factor in self.runs_of(segment, [0]).items():
                    if week in run.weeks and abs(factor - 1) > 0.3:
                        self.moved[run] = {segment: factor}
                        self.mixes.add(run)
                        weeks |= run.weeks
        return weeks

    def runs_of(self, segment: Segment, channels: list[int]) -> dict[Run, float]:
        """Days on which channels of a segment depart from their usual, with the factor on them."""
        first = max(channels[0] - 1, 0)
        stages = self.stages[first : channels[-1] + 1]
        rows = self.ask("slice", where=dict(segment), stages=stages)["rows"]
        counts = {first + place: row[-1] for place, row in enumerate(rows)}
        found = {}
        for channel in channels:
            moved = self.departures(counts[channel], counts.get(channel - 1), channel)
            for start, stop in runs(set(moved)):
                factors = [moved[day] for day in range(start, stop)]
                found[Run(channel, start, stop)] = sum(factors) / len(factors)
        return found

    def departures(
        self, into: list[int], below: list[int] | None, channel: int
    ) -> dict[int, float]:
        """Days on which a channel departs from its usual, with the factor on it."""
        rate = [a / max(b, 1) for a, b in zip(into, below if channel else [1] * DAYS, strict=True)]
        found = {}
        for day, value in enumerate(rate):
            usual = median(rate[day % 7 :: 7])
            spare = (1 - usual if channel else 1) / into[day] + SCATTER[min(channel, 1)] ** 2
            if abs(value / usual - 1) >= max(SURE * math.sqrt(spare), 0.06):
                found[day] = value / usual
        return found

    def find_hidden(self, mixed: set[int]) -> None:
        """Find segments of three values, the likeliest first, and what moved against them."""
        segments = [
            frozenset(zip(dims, values, strict=True))
            for dims in combinations(self.dims, 3)
            for values in product(*(self.dims[dim] for dim in dims))
        ]
        channels = range(len(self.stages))
        z = [{each: self.evidence(channel, each) for each in segments} for channel in channels]
        likely = []
        for channel, segment, week in product(channels, segments, range(WEEKS)):
            score = abs(z[channel][segment][week])
            if 0 < channel < 4:
                beside = z[channel + 1][segment][week]
                score = max(score, (score + abs(beside)) / math.sqrt(2))
            if score >= LIKELY and not (channel == 0 and week in mixed):
                likely.append((score, channel, week, segment))
        done: set[tuple[int, int]] = set()
        for _, channel, week, segment in sorted(likely, key=lambda each: -each[0])[:MOST_LOOKS]:
            near = list(range(max(channel - 1, 1), min(channel + 1, 4) + 1)) if channel else [0]
            if (channel, week) in done or not self.stands_out(segment, channel, week):
                continue
            found = {
                run: factor
                for run, factor in self.runs_of(segment, near).items()
                if week in run.weeks and run.stop - run.first <= 2
            }
            for run, factor in found.items():
                self.moved.setdefault(run, {})[segment] = factor
                done |= {(run.channel, run_week) for run_week in run.weeks}
            if len(found) == 1:
                [(run, factor)] = found.items()
                self.find_partner(run, segment, factor, z[run.channel])

    def stands_out(self, segment: Segment, channel: int, week: int) -> bool:
        """Whether a week of a segment departs from its others, on a step or on two together."""
        days = 7 * week, 7 * week + 7
        others = [each for each in ((0, days[0]), (days[1], DAYS)) if each[0] < each[1]]
        channels = [channel, channel + 1] if 0 < channel < 4 else [channel]
        shown = [abs(z) for _, z in self.compared(segment, channels, days, others)]
        return max(*shown, sum(shown) / math.sqrt(len(shown)), 0.0) >= OWN

    def compared(
        self,
        segment: Segment,
        channels: list[int],
        days: tuple[int, int],
        others: list[tuple[int, int]],
    ) -> list[tuple[float, float]]:
        """Factor on each channel of some days beside others, and its standard deviations from 1."""
        first = max(channels[0] - 1, 0)
        told = self.ask(
            "compare",
            where=dict(segment),
            stages=self.stages[first : channels[-1] + 1],
            dates=[[self.dates[days[0]], self.dates[days[1] - 1]]],
            reference=[[self.dates[start], self.dates[stop - 1]] for start, stop in others],
        )
        counts, lengths = told["rows"][0], told["days"]
        now = dict(enumerate(counts[::2], first))
        usual = dict(enumerate(counts[1::2], first))
        found = []
        for channel in channels:
            below = now[channel - 1] if channel else lengths["dates"]
            rate = usual[channel] / (usual[channel - 1] if channel else lengths["reference"])
            share = 1 - rate if channel else 1.0
            spare = share * (1 / now[channel] + 1 / usual[channel])
            scatter = SCATTER[min(channel, 1)] / math.sqrt(lengths["dates"])
            factor = now[channel] / below / rate
            found.append((factor, (factor - 1) / math.sqrt(spare + scatter**2)))
        return found

    def find_partner(
        self, run: Run, segment: Segment, factor: float, z: dict[Segment, list[float]]
    ) -> None:
        """Find the segment of other people that moved the other way on the same days."""
        sign = 1.0 if factor > 1 else -1.0
        [week, *_] = run.weeks
        apart = [each for each in z if len(dict(each | segment)) < len(each | segment)]
        likely = sorted(apart, key=lambda each: sign * z[each][week])[:PARTNERS]
        days = range(run.first % 7, DAYS, 7)
        others = [(day, day + run.stop - run.first) for day in days if day != run.first]
        others = [each for each in others if each[1] <= DAYS][:MOST_RANGES]
        shown = []
        for other in likely:
            [(against, clear)] = self.compared(other, [run.channel], (run.first, run.stop), others)
            shown.append((sign * clear, against, sorted(other)))
        clear, against, found = min(shown)
        if clear <= -SURE and abs(against - 1) >= 0.06:
            self.moved[run][frozenset(found)] = against

    def report(self) -> list[dict[str, Any]]:
        """Every root as a row."""
        self.read_weeks()
        self.find_hidden(self.find_mixes())
        log = self.ask("change_log")["entries"]
        rows = []
        for run, factors in sorted(self.moved.items(), key=lambda each: each[0]):
            before = self.moved.get(run._replace(channel=run.channel - 1), {})
            after = self.moved.get(run._replace(channel=run.channel + 1), {})
            for segment, factor in factors.items():
                kind = "rate_change" if run.channel else "traffic_change"
                if run in self.mixes:
                    kind = "mix_shift"
                elif run.channel > 1 and abs(before.get(segment, 0.0) * factor - 1) < 0.12:
                    continue  # the other half of a tracking loss
                elif run.channel and abs(after.get(segment, 0.0) * factor - 1) < 0.12:
                    kind = "tracking_loss"
                stage = self.stages[run.channel]
                component = self.told["components"].get(kind, self.told["components"][stage])
                rows.append(
                    {
                        "kind": kind,
                        "stage": stage,
                        "segment": dict(segment),
                        "date_from": self.dates[run.first],
                        "date_to": self.dates[run.stop - 1],
                        "change": self.change(log, component, dict(segment), run.first),
                    }
                )
        return rows

    def change(
        self, log: list[dict[str, Any]], component: str, segment: dict[str, str], first: int
    ) -> str:
        fitting = [
            (entry["date"], -number, entry["id"])
            for number, entry in enumerate(log)
            if entry["component"] == component
            and entry["date"] in self.dates[max(first - 2, 0) : first + 1]
            and entry["scope"].items() <= segment.items()
        ]
        return max(fitting)[2] if fitting else "unattributed"


def less(total: Rows, parts: list[Rows]) -> Rows:
    """Rows of a segment without some parts of it."""
    return [
        [whole - sum(each) for whole, each in zip(row, zip(*by_part, strict=True), strict=True)]
        for row, *by_part in zip(total, *parts, strict=True)
    ]


def beside_usual(rows: Rows, channel: int) -> tuple[list[float], float]:
    """Change of each week beside the median one, and what the noise of such a change goes by."""
    below = rows[channel - 1] if channel else [1.0] * WEEKS
    rate = [a / b for a, b in zip(rows[channel], below, strict=True)]
    usual, people = median(rate), median(below)
    weight = people * usual / (1 - usual) if channel else usual
    return [each / usual - 1 for each in rate], weight


def runs(days: set[int]) -> list[tuple[int, int]]:
    """First day of each row of days, and the day after its last."""
    firsts = sorted(day for day in days if day - 1 not in days)
    stops = sorted(day + 1 for day in days if day + 1 not in days)
    return list(zip(firsts, stops, strict=True))


def played(url: str, task: str, door: str) -> dict[str, Any]:
    """The reply to the report of a whole play."""
    at = DOORS[door](url, task)
    assert at.opening["status"] == "ready", at.opening["message"]
    rows = Analyst(at).report()
    last: dict[str, Any] = at.call("submit_report", {"rows": rows})
    return last


if __name__ == "__main__":
    print(json.dumps(played(*sys.argv[1:4])))
