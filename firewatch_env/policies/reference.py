"""The reference: follows failing calls to where they start, reads why, mends that, and looks again.

It reads what replies say in words and nothing else, never guesses, and keeps only what it has
mended and cleared; so it can take over a play from any state.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from typing import Any

from firewatch_env.actions.inspections import LEAKED
from firewatch_env.engine.motion import EASE
from firewatch_env.evidence.signs import TENANT
from firewatch_env.policies.reading import (
    Call,
    change_log,
    explains,
    percent,
    remedy,
    troubled,
)

Action = dict[str, Any]
Script = Generator[Action, Mapping[str, Any], Any]
_WELL = 6  # ticks of well-being before it looks whether it may declare


def order(name: str, target: str | None = None, **parameters: Any) -> Action:
    """An action as it goes over the wire."""
    action: Action = {"action_type": name}
    if target is not None:
        action["target_service"] = target
    return {**action, "parameters": parameters} if parameters else action


class Engineer:
    """An engineer on call, from any state of a play on.

    Args:
        opening: the last reply, or the opening.
    """

    def __init__(self, opening: Mapping[str, Any], entry: str = "") -> None:
        self.text = str(opening["message"])
        found = re.search(r"Customers come in at ([\w-]+)", self.text)
        self.entry = found[1] if found else entry
        self.tick, self.last = 0, 0
        self.mended: dict[str, int] = {}  # service: the tick from which a repair shows in full
        self.done: set[tuple[str, str]] = set()  # repairs, and to which service
        self.cleared: set[str] = set()  # services that look bad for a harmless reason
        self.well_for = 0
        self._note()

    def _note(self) -> None:
        found = re.search(r"tick (\d+) of (\d+)", self.text)
        if found:
            self.tick, self.last = int(found[1]), int(found[2]) - 1
        self.well_for = self.well_for + 1 if "Customers: all well" in self.text else 0

    def _do(self, name: str, target: str | None = None, **parameters: Any) -> Script:
        """Take an action; what it came to, without how things stand."""
        reply = yield order(name, target, **parameters)
        self.text = str(reply["message"])
        self._note()
        return self.text.rpartition("\n")[0]

    def _mend(self, name: str, target: str, **parameters: Any) -> Script:
        yield from self._do(name, target, **parameters)
        self.done.add((name, target))
        self.mended[target] = self.tick + EASE
        return True

    def play(self) -> Script:
        """Until it has declared the incident over."""
        while True:
            if self.well_for and self.tick >= self.last:
                yield from self._do("declare_resolved")
                return
            if self.well_for == 0:
                if not (yield from self._follow(self.entry)):
                    self.cleared.clear()  # look at everything anew
            elif (yield from self._watch()):
                continue
            elif self.well_for > _WELL or not self.mended:
                yield from self._do("declare_resolved")
                return
            else:
                yield from self._do("trace_dependencies", self.entry)

    # Where it starts.

    def _follow(self, here: str) -> Script:
        """Mend what is wrong at a service or below it; whether there was something to mend."""
        text = yield from self._do("trace_dependencies", here)
        for call in troubled(text):
            if (yield from self._call(here, call)):
                return True
            if self.well_for:
                return True
        return (yield from self._diagnose(here, text))

    def _call(self, here: str, call: Call) -> Script:
        """The same for one call of a service that does not go as usual."""
        if "breaker open" in call.text:
            return (yield from self._mend("circuit_break", call.callee, state="closed"))
        if "timed out" in call.text and "as usual" in call.text:
            return (yield from self._changed(here, "late", call.callee))
        more = "x the usual calls per request" in call.text
        if more and (yield from self._asks(here, call.callee)):
            return True
        if "each tried" in call.text:
            if (yield from self._changed(here, "tries", call.callee)):
                return True
            if self._open(here):
                return (yield from self._mend("configure_retry_backoff", here))
        return (yield from self._follow(call.callee))

    def _asks(self, here: str, callee: str) -> Script:
        """A service asks a callee more often than usual: a change, or a cache that misses."""
        if (yield from self._changed(here, "calls", callee)):
            return True
        logs = yield from self._do("fetch_logs", here)
        found = remedy(logs)
        if found is not None and self._open(here) and (found[0], here) not in self.done:
            return (yield from self._mend(found[0], here, **found[1]))
        below = yield from self._do("trace_dependencies", here)
        names = [c.callee for c in troubled(below)]
        names += re.findall(r"[\w-]+", "".join(re.findall(r"Fine: (.*)\.", below)))
        for name in names:
            if name.endswith("-cache") and (yield from self._diagnose(name, "")):
                return True
        return False

    # Why.

    def _open(self, service: str) -> bool:
        """Whether no repair of a service is under way."""
        return self.mended.get(service, -1) < self.tick

    def _diagnose(self, service: str, trace: str) -> Script:
        """Find out what is wrong with a service, and mend it; whether there was something."""
        if not self._open(service) or service in self.cleared:
            return False
        detail = yield from self._do("get_metrics_detail", service)
        if _outlier("client", detail):
            self.cleared.add(service)
        for trouble, look in self._troubles(detail):
            if trouble == "load":
                if (yield from self._callers(service)):
                    return True
                continue
            feature = _outlier("feature", detail) if look in ("", "fetch_logs") else ""
            if feature and (yield from self._changed(service, trouble, feature)):
                return True
            text = yield from self._do(look or "fetch_logs", service)
            if (yield from self._by_text(service, trouble, text)):
                return True
        starved = percent(r"CPU (\d+)%", detail) >= 0.9 and "load 1." in detail
        if starved and percent(r"memory (\d+)%", detail) < 0.8 and "out of memory" not in detail:
            return (yield from self._mend("scale_replicas", service))
        return False

    def _troubles(self, detail: str) -> list[tuple[str, str]]:
        """What a service suffers from, and the look that says why."""
        ready = re.search(r"pods (\d+)/(\d+) ready", detail)
        found: list[tuple[float, str, str]] = []
        for status in ("500", "403", "429", "no connection"):
            share = percent(rf"own failures: [^.]*?{status} (\d+)%", detail)
            if share >= 0.01:
                found.append((share, status, ""))
        found.sort(reverse=True)
        wants: list[tuple[str, str]] = []
        if percent(r"memory (\d+)%", detail) >= 0.84 or "out of memory" in detail:
            wants.append(("memory", "check_gc_pressure"))
        if ready and int(ready[1]) < 0.8 * int(ready[2]):
            wants.append(("pods", "inspect_cluster_topology"))
            wants.append(("memory", "check_gc_pressure"))
        wants += [(trouble, look) for _, trouble, look in found]
        if 0 < percent(r"cache hits (\d+)%", detail) < 0.85:
            wants.append(("hits", "fetch_logs"))
        if "items wait" in detail and " 0 items wait" not in detail:
            wants.append(("job", "inspect_cluster_topology"))
        if re.search(r"\b503 \d", detail) or re.search(r"latency [\d.]+ m?s, usually", detail):
            load = re.search(r"load ([\d.]+)x", detail)
            if load and float(load[1]) >= 1.4:
                wants.append(("load", ""))
            if percent(r"CPU (\d+)%", detail) >= 0.9:
                wants.append(("cpu", "profiler_dump"))
            wants += [("pool", "thread_dump"), ("skew", "inspect_cluster_topology")]
        return list(dict.fromkeys(wants))

    def _by_text(self, service: str, trouble: str, text: str) -> Script:
        """Mend what a look or a log names."""
        if trouble == "memory":
            return (yield from self._memory(service, text))
        about = _subject(trouble, text)
        if about and (yield from self._changed(service, trouble, about)):
            return True
        found = remedy(text)
        if trouble == "skew" and "busiest pod has" in text:
            found = "rebalance_load", {}
        if found is None or (found[0], service) in self.done:
            return False
        if found[0] == "enable_cache_warming":  # each time goes half of the way
            while percent(r"hits (\d+)%", text) < 0.9:
                text = yield from self._do(found[0], service)
                if "no cold cache" in text:
                    break
            return True
        return (yield from self._mend(found[0], service, **found[1]))

    def _memory(self, service: str, text: str) -> Script:
        """What fills a heap: a change, a spool file, or the data of a tenant."""
        for what in re.findall(r"([\w -]+?) \+\d+ MB", text.partition("above usual: ")[2]):
            if what.strip() == LEAKED:
                return (yield from self._mend("restart_service", service))
            if what.strip() == TENANT:
                most = re.search(r"at most (\d+) MB", text)
                limit = float(most[1]) if most else 0.0
                return (yield from self._mend("scale_replicas", service, memory_limit_mb=limit))
            if (yield from self._changed(service, "memory", what.strip())):
                return True
        return False

    def _callers(self, service: str) -> Script:
        """Somebody asks a service more often than usual."""
        text = yield from self._do("trace_dependencies", service)
        for caller in re.findall(r"Called by ([\w-]+)[^:]*: .*x the usual calls", text):
            above = yield from self._do("trace_dependencies", caller)
            for call in troubled(above):
                if call.callee != service:
                    continue
                if "tried" in call.text:
                    if (yield from self._changed(caller, "tries", service)):
                        return True
                    if self._open(caller):
                        return (yield from self._mend("configure_retry_backoff", caller))
                if "usual calls per request" in call.text:
                    return (yield from self._asks(caller, service))
        return False

    def _changed(self, service: str, trouble: str, about: str) -> Script:
        """Undo the change that explains a trouble; whether there was one."""
        if not self._open(service):
            return False
        log = yield from self._do("inspect_commit_diff", service)
        for entry in change_log(log):
            if any(explains(text, trouble, about, entry) for text in entry.texts):
                undo = {"undo": True} if entry.taken_back else {}
                return (yield from self._mend(entry.which, service, **undo))
        return False

    # Before it declares.

    def _watch(self) -> Script:
        """Customers are well: see what may not stay so. Whether there was something to see."""
        unwell = self.text.rpartition("Unwell: ")[2]
        for name, what in re.findall(r"([\w-]+)[^;(]*\([^)]*?(memory|items wait)", unwell):
            if name in self.cleared or name in self.mended:
                continue
            if what == "items wait":
                return (yield from self._diagnose(name, ""))
            text = yield from self._do("check_gc_pressure", name)
            killed = "out of memory" in unwell.partition(name)[2].split(";")[0]
            suspect = killed or ", full" in text
            if not (suspect and (yield from self._memory(name, text))) and not killed:
                self.cleared.add(name)
            return True
        if not self.mended:
            for name in re.findall(r"(?:^|; )([\w-]+) (?:warning|critical|down)", unwell):
                if name not in self.cleared:
                    self.cleared.add(name)
                    yield from self._do("get_metrics_detail", name)
                    return True
        return False


def _outlier(what: str, detail: str) -> str:
    """The feature or client that fails by far the most; nothing where all fail alike."""
    found = re.search(rf"By {what}[^:]*: ([^.]*)\.", detail)
    shares = re.findall(r"([\w -]+?) (\d+)%", found[1]) if found else []
    if len(shares) > 1 and int(shares[0][1]) > 1.5 * int(shares[1][1]):
        return str(shares[0][0]).strip()
    return ""


def _subject(trouble: str, text: str) -> str:
    """The feature that a look is about."""
    patterns = {
        "cpu": r"; ([\w -]+?) \d+% of it \(",
        "pool": r"(worker pool) is full",
        "pods": r"not ready: warm-up of ([\w -]+?) still",
        "hits": r"entries of ([\w -]+?) expire",
        "skew": r"more than its share of (?!all requests)([\w -]+?)(?:;|$)",
    }
    found = re.search(patterns.get(trouble, r"(?!)"), text)
    return found[1] if found else ""


def reference(opening: Mapping[str, Any]) -> Script:
    """The reference from the opening of a play on."""
    return Engineer(opening).play()
