"""The gallery's room of Firewatch's incidents: a page for each look that faults share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from matplotlib import style
from matplotlib.figure import Figure

from docs.generate.charts import ECHO, LINE, MUTED, ROOT, STYLE
from docs.generate.examples import table
from docs.generate.gallery.card import table_under
from docs.generate.gallery.rooms import Arguments, Exhibit, Family, Reset, Room
from firewatch_env.environment import ENVIRONMENT
from firewatch_env.page.score import Courses, courses
from firewatch_env.page.story import Story
from firewatch_env.tasks.book import admitted, find
from firewatch_env.tasks.causes import CAUSES, LOOKS
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import MAX_TICKS, POWERS, Task
from openenv_kit.page.watching import Frame

SPLIT = "train"
DOCS = Path(__file__).resolve().parents[2]
PROSE = re.compile(
    r"^## (?P<title>.+)\n\n(?P<looks>.+)\n\n<!-- generated: incident-(?P<look>[\w-]+) -->", re.M
)
"""A look on the page of incidents, in words."""
STATUSES = {"healthy": "#3a9a5b", "degraded": "#d6a02a", "critical": ECHO, "down": ROOT}

DOWN = (
    "`trace_distributed_request` from where customers come in says which calls fail, down to the "
    "service that fails by itself. "
)
CHANGES = (
    "`inspect_commit_diff` names the last build and revision and the keys they set; "
    "`rollback_deploy` or `revert_config` undoes the one at fault. "
)
SUSPECTS = (
    "Beyond easy both may be able to do it: a build runs in zone b alone, so what it does follows "
    "zone b's share of the requests, which `inspect_cluster_topology` states. "
)
ODD = f"{DOWN}It also says what is odd about the last call: "
CLOSE = "Once customers are well and stay well, `declare_resolved`."
UNDO = f"{CHANGES}{SUSPECTS}{CLOSE}"
WAYS = {
    "killed": f"{DOWN}`fetch_logs` says OOMKilled or a full heap, and `check_gc_pressure` which "
    f"feature fills it. {CHANGES}Where every feature holds more than usual, `scale_replicas` with "
    f"a higher `memory_limit_mb` gives room. {CLOSE}",
    "growing": "Nothing fails at first: every reply names services whose memory is much in use. "
    "`check_gc_pressure`, asked twice, tells a heap that grows from one that settles, and which "
    f"feature it is. {UNDO} Where no feature grows, `restart_service` ends what holds memory.",
    "errors": f"{DOWN}`fetch_logs` names the feature whose requests end in exceptions. {CHANGES}"
    f"{SUSPECTS}Where it is every feature, a circumstance is at fault: `thread_dump` (spoilt "
    "state: `restart_service`), `inspect_consensus_state` for stores, `inspect_cluster_topology` "
    f"(two builds: `rollback_canary`; zone b: `rebalance_az_traffic`). {CLOSE}",
    "cpu": f"{DOWN}`strace_process` says what the CPU goes to. A feature that takes more of it "
    f"than of the calls: {CHANGES}{SUSPECTS}A cut limit: `increase_cpu_limit`; a neighbour: "
    f"`evict_noisy_pod`; logs: `set_log_level`; abandoned work: `enable_deadline_propagation`. "
    f"{CLOSE}",
    "slots": f"{DOWN}`thread_dump` says whether threads are blocked (`restart_service`), without "
    f"a stream (`restart_thread_pool`), or which feature's pool is too small. {UNDO}",
    "pods": f"{DOWN}`inspect_cluster_topology` says what pods wait for: a variable "
    "(`inject_missing_env_var`), loading (`pre_warm_service`), answering (`adjust_probe_timing`), "
    "delay (`restart_service`), scheduling (`rollback_deployment_rollout`), or a feature. "
    f"{UNDO}",
    "refused": f"{DOWN}`fetch_logs` says which feature is answered 403. {CHANGES}{SUSPECTS}Where "
    "it is every feature, `inspect_mtls_status` tells a role (`grant_rbac_permission`) from a "
    f"clock (`force_ntp_sync`). {CLOSE}",
    "limited": f"{DOWN}`fetch_logs` says which feature is answered 429. {CHANGES}Where it is "
    f"every feature, the provider's quota is used up: `request_quota_increase`. {CLOSE}",
    "path": f"{DOWN}`fetch_logs` of the caller says which calls do not arrive, by feature. "
    f"{CHANGES}{SUSPECTS}Otherwise `inspect_network_policy` says where they are dropped "
    "(`revert_network_policy`, `update_service_endpoint`, `complete_traffic_switch`, "
    "`rollback_proxy_upgrade`), and `inspect_mtls_status` whether handshakes fail "
    "(`rotate_tls_certificate`); the rest is zone b (`rebalance_az_traffic`) or dead instances "
    f"(`deregister_stale_instances`). {CLOSE}",
    "deadline": f"{ODD}it ends before a callee that is as fast as ever has answered. So the change "
    f"is the caller's. {UNDO}",
    "fan-out": f"{ODD}a request makes several times as many of them as usual (`n`). So the change "
    f"is the caller's. {UNDO} Where no change explains it: `optimize_query`.",
    "storm": f"{ODD}it is tried several times. {CHANGES}Where no change explains it, "
    "`disable_retries` ends it, and `enable_deadline_propagation` drops work that nobody waits "
    f"for any more. {CLOSE}",
    "misses": f"{DOWN}The store is busy, and `fetch_logs` of the cache before it says why: fewer "
    f"hits on a feature, keys not loaded (`enable_cache_warming`), or no room for them "
    f"(`increase_cache_memory`). {UNDO}",
    "skew": f"{DOWN}`inspect_cluster_topology` names the hottest pod and the feature that makes "
    f"it hot. {CHANGES}Where it is no feature, `rebalance_load` spreads requests evenly. {CLOSE}",
    "pipeline": "No call fails. `trace_distributed_request` says where a fallback answers "
    "(`disable_fallback_mode`), and `inspect_pipeline_topology` whether a pipeline is behind "
    f"(`restart_pipeline_job`, then `flush_pipeline_stage`). {CLOSE}",
    "false": "`trace_distributed_request` says that no call fails, and the burn rate is 0: what "
    "alarms is not what customers see. Nothing is changed. Wait until it is clear that they stay "
    "well, which costs nothing, then `declare_resolved`.",
}


class Incidents(Room):
    """Firewatch."""

    name = "incident"
    title = "Incidents"
    opening = (
        "[FirewatchEnv](../firewatch.md): services of a call graph fail, and an engineer on call "
        "is to find out why and put it right while customers are let down. From outside, faults "
        "share their looks; a page is about a look. How hard they are was measured by "
        "[plays by hand](../firewatch.md#played-by-hand)."
    )
    environment = ENVIRONMENT

    @property
    def levels(self) -> Mapping[str, str]:
        """Each level with its ticks."""
        return {
            level: f"{ticks} ticks of 30 seconds; impact counts to the power of {POWERS[level]}."
            for level, ticks in MAX_TICKS.items()
        }

    @property
    def families(self) -> Mapping[str, Family]:
        """Each look, in the words of the page of incidents."""
        page = (DOCS / "firewatch-incidents.md").read_text()
        told = {found["look"]: found for found in PROSE.finditer(page)}
        return {
            look: Family(told[look]["title"], told[look]["looks"], WAYS[look]) for look in LOOKS
        }

    def resets(self, family: str, level: str) -> Iterator[Reset]:
        """Named tasks, then those of the train split, with one fault before those with two."""
        yield from (
            {"task_id": each.task_id} for each in NAMED.values() if each.difficulty == level
        )
        places = [place for place, attempt in enumerate(admitted()[SPLIT]) if attempt is not None]
        for place in sorted(places, key=lambda place: _task(None, place).dual):
            yield {"split": SPLIT, "index": place}

    def exhibit(self, family: str, level: str, reset: Reset) -> Exhibit | None:
        """The fault of a task."""
        task = _task(reset.get("task_id"), reset.get("index"))
        cause = CAUSES[task.label.partition("+")[0]]
        if (cause.look, task.difficulty) != (family, level):
            return None
        puts, circumstances = task.faults
        at_fault = {put.service for put in task.puts[:puts]}
        at_fault |= {each.service for each in task.circumstances[:circumstances]}

        def concerns(arguments: Arguments) -> bool:
            return arguments.get("target_service") in at_fault

        return Exhibit(_faults(task), partial(picture, task, reset), concerns)

    def figures(self) -> str:
        """What plays by hand have earned, as the page about Firewatch tells it."""
        found = table_under("firewatch.md", "## Played by hand")
        version = list(next(iter(found.values())))[-1]
        cells = [found[level][version] for level in self.levels]
        return table([f"played by hand, {version}", *self.levels], [["mean score", *cells]])

    def told(self, answer: Mapping[str, Any]) -> object:
        """The message, and how customers fare."""
        return " · ".join([answer["message"], *answer.get("now", "").split(". ")[:1]])


@cache
def _task(task_id: str | None, index: int | None) -> Task:
    return find({"task_id": task_id} if task_id else {"split": SPLIT, "index": index})


def _faults(task: Task) -> str:
    """What is at fault, and since when."""
    puts, circumstances = task.faults
    told = [
        f"a {put.which} of `{put.service}`, {-put.release.tick} ticks old"
        for put in task.puts[:puts]
    ]
    told += [
        f"`{each.lever}` of `{each.service}`"
        for each in task.circumstances[:circumstances]
        if each.value
    ]
    return f"At fault (`{task.label}`): {'; '.join(told)}."


@style.context(STYLE)
def picture(task: Task, reset: Reset) -> Figure:
    """The calls with each service's status at first, and the harm of every tick."""
    opening = ENVIRONMENT.session().reset(**reset)
    story = Story([Frame({}, opening.content)], task.max_ticks)
    figure = Figure(figsize=(8, 0.55 * max(len(story.layers), 4) + 0.5), layout="constrained")
    graph, harm = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_graph(graph, story)
    _draw_harm(harm, courses(task, ()))
    return figure


def _draw_graph(axes: Any, story: Story) -> None:
    """Services from where customers come in, at the top, down to the leaves."""
    at = {
        name: ((place + 0.5) / len(layer), -float(row))
        for row, layer in enumerate(story.layers)
        for place, name in enumerate(layer)
    }
    for caller, callees in story.graph.items():
        for callee in callees:
            ends: Sequence[tuple[float, float]] = (at[caller], at[callee])
            axes.plot(*zip(*ends, strict=True), color="#c9d0da", linewidth=1, zorder=1)
    views = story.now["services"]
    for status, colour in STATUSES.items():
        names = [name for name in at if views[name]["status"] == status]
        if names:
            places = [at[name] for name in names]
            axes.plot(*zip(*places, strict=True), "o", color=colour, markersize=8, label=status)
    for name, (x, y) in at.items():
        axes.annotate(name, (x, y), (0, -13), textcoords="offset points", ha="center", fontsize=6.5)
    axes.set_xlim(0, 1)
    axes.set_ylim(0.6 - len(story.layers), 0.4)
    axes.set_title("at tick 0")
    axes.axis("off")
    axes.legend(loc="upper right", fontsize=6.5, frameon=False, labelcolor=MUTED)


def _draw_harm(axes: Any, course: Courses) -> None:
    """Harm had nobody acted, and as the reference leaves it."""
    ticks = range(1, len(course.nobody) + 1)
    axes.plot(ticks, course.nobody, color=MUTED, linestyle=":", label="nobody acts")
    axes.plot(ticks, course.reference, color=LINE, label="the reference")
    axes.axvline(course.max_ticks, color=MUTED, linewidth=0.8, linestyle="--")
    axes.set_title("bad minutes of customers a tick")
    axes.grid(axis="y")
    axes.set_ylim(0, max(10.0, 1.05 * max(course.nobody)))
    axes.tick_params(labelsize=7)
    axes.legend(loc="upper right", fontsize=6.5, labelcolor=MUTED, edgecolor="none")
