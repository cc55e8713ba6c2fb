"""A client by somebody else: plays a drill-down task over a wire, and imports nothing of ours.

It knows what the documentation says of the messages, and of an episode what the replies say. Its
analysis is its own and enough for `drill_easy`: days on which a single value departs from its
weekday's median, then the one segment of at most two values whose change says most, then the kind
and the change-log entry.

    python stranger.py http://127.0.0.1:8000 drill_easy_saas_trial ws|http|mcp
"""

from __future__ import annotations

import datetime as dt
import json
import math
import sys
import urllib.request
from itertools import combinations
from statistics import median
from typing import Any

from websockets.sync.client import connect

SCATTER = (0.02, 0.006)
"""Day-to-day noise of traffic and of rates that no volume averages out, as the data show it."""
SURE = 5.5


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
        self.dates = [(first + dt.timedelta(days=n)).isoformat() for n in range(56)]

    def ask(self, tool: str, **arguments: Any) -> Any:
        told = self.door.call(tool, arguments)
        assert told["status"] == "analyzed", told["message"]
        assert told["numbers_left"] >= 0
        assert told["calls_left"] > 0
        return told["analysis_result"]["result"]

    def days_that_moved(self) -> list[set[int]]:
        """For each channel, the days on which some single value departs from its usual."""
        moved: list[set[int]] = [set() for _ in self.stages]
        for dim, values in self.dims.items():
            counts: dict[str, list[list[int]]] = {
                value: [[] for _ in self.stages] for value in values
            }
            for half in ((0, 27), (28, 55)):
                dates = [self.dates[half[0]], self.dates[half[1]]]
                for value, stage, row in self.ask("slice", group_by=[dim], dates=dates)["rows"]:
                    counts[value][self.stages.index(stage)] += row
            for value in values:
                for channel in range(len(self.stages)):
                    moved[channel] |= set(self.departures(counts[value], channel))
        return moved

    def departures(self, counts: list[list[int]], channel: int) -> dict[int, float]:
        """Days on which a channel departs from its usual, with the factor on it."""
        into, below = counts[channel], counts[channel - 1] if channel else [1] * 56
        rate = [a / max(b, 1) for a, b in zip(into, below, strict=True)]
        found = {}
        for day, value in enumerate(rate):
            usual = median(rate[day % 7 :: 7])
            spare = (1 - usual if channel else 1) / into[day] + SCATTER[min(channel, 1)] ** 2
            if abs(value / usual - 1) >= max(SURE * math.sqrt(spare), 0.02):
                found[day] = value / usual
        return found

    def segment(self, channel: int, days: range, moved: set[int]) -> dict[str, str]:
        """The segment whose change over some days says most."""
        weeks = [
            range(days.start + shift, days.stop + shift)
            for shift in range(-56, 57, 7)
            if shift and days.start + shift >= 0 and days.stop + shift <= 56
        ]
        calm = [week for week in weeks if not moved & set(week)]
        ranges = [[self.dates[week[0]], self.dates[week[-1]]] for week in calm]
        stages = self.stages[max(channel - 1, 0) : channel + 1]
        found: dict[tuple[tuple[str, str], ...], list[float]] = {}
        for one, other in combinations(self.dims, 2):
            rows = self.ask(
                "compare",
                dates=[self.dates[days[0]], self.dates[days[-1]]],
                reference=ranges,
                group_by=[one, other],
                stages=stages,
            )["rows"]
            sums: dict[tuple[tuple[str, str], ...], list[float]] = {}
            for a, b, *numbers in rows:
                now, then = numbers[-2], numbers[-1]
                if channel:
                    usual = then / numbers[1]
                    expected, weight = numbers[0] * usual, 1 / (1 - usual)
                else:
                    expected, weight = then / len(calm), 1.0
                for key in (((one, a),), ((other, b),), ((one, a), (other, b))):
                    pair = sums.setdefault(key, [0.0, 0.0])
                    pair[0] += weight * expected
                    pair[1] += weight * (now - expected)
            found.update(sums)
        return dict(max(found, key=lambda key: found[key][1] ** 2 / found[key][0]))

    def report(self) -> list[dict[str, Any]]:
        """Every root as a row."""
        segments: dict[str, dict[str, str]] = {}
        for channel, days in enumerate(self.days_that_moved()):
            for first, stop in runs(days):
                segment = self.segment(channel, range(first, stop), days)
                segments[json.dumps(segment, sort_keys=True)] = segment
        # A single value shows only some of a root's days; the segment itself shows all of them.
        changes: dict[tuple[int, int, int], tuple[dict[str, str], float]] = {}
        for segment in segments.values():
            told = self.ask("slice", where=segment)["rows"]
            counts = [next(row for stage, row in told if stage == each) for each in self.stages]
            for channel in range(len(self.stages)):
                moved = self.departures(counts, channel)
                for first, stop in runs(set(moved)):
                    factors = [moved[day] for day in range(first, stop)]
                    changes[channel, first, stop] = segment, sum(factors) / len(factors)
        log = self.ask("change_log")["entries"]
        rows, explained = [], set()
        for (channel, first, stop), (segment, factor) in sorted(changes.items()):
            if (channel, first, stop) in explained:
                continue
            kind = "rate_change" if channel else "traffic_change"
            following = changes.get((channel + 1, first, stop))
            inverse = following and abs(factor * following[1] - 1) < 0.12
            if channel and following and inverse and following[0] == segment:
                kind = "tracking_loss"
                explained.add((channel + 1, first, stop))
            stage = self.stages[channel]
            component = self.told["components"].get(kind, self.told["components"][stage])
            rows.append(
                {
                    "kind": kind,
                    "stage": stage,
                    "segment": segment,
                    "date_from": self.dates[first],
                    "date_to": self.dates[stop - 1],
                    "change": self.change(log, component, segment, first),
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
