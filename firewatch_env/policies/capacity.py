"""What is off with a service's CPU, its slots or its queue, and its repair."""

from __future__ import annotations

import re

from firewatch_env.policies.apart import Tell, in_feedback
from firewatch_env.policies.seen import Seen, order
from firewatch_env.policies.undoing import Mending, undo


def mend_cpu(tell: Tell, seen: Seen, root: str) -> Mending:
    """Put right what a request's CPU is spent on, or where it goes otherwise."""
    seen = yield order("strace_process", root)
    text = seen.feedback
    figures = re.match(
        r"CPU/req ([\d.]+)x limit ([\d.]+) stolen\(b\) ([\d.]+) logs ([\d.]+) abandoned ([\d.]+)",
        text,
    )
    if figures is None:
        return seen, False
    each, limit, stolen, logs, abandoned = (float(value) for value in figures.groups())
    if stolen > 0:
        return (yield order("evict_noisy_pod", root)), True
    if limit < 1:
        return (yield order("increase_cpu_limit", root)), True
    if abandoned > 0.2:
        return (yield order("enable_deadline_propagation", root)), True
    if logs > 0.2:
        return (yield order("set_log_level", root, level="info")), True
    by = re.findall(r"([a-z]+) ([\d.]+) \(calls ([\d.]+)\)", text)
    if by and float(by[0][1]) > 1.15 * float(by[0][2]):
        if each > 1.5:
            by.sort(key=lambda row: -float(row[1]) / (float(row[2]) + 0.01))
        look = order("strace_process", root)
        figure = in_feedback(look, r"CPU/req ([\d.]+)x", 1.0)
        return (yield from undo(tell, seen, root, [row[0] for row in by], "cpu", figure))
    return seen, False


def mend_slots(tell: Tell, seen: Seen, root: str) -> Mending:
    """Put right what keeps slots from use."""
    seen = yield order("thread_dump", root)
    figures = re.match(
        r"blocked (\d+), no stream (\d+), spoilt state [\d.]+; pools (.*)", seen.feedback
    )
    if figures is None:
        return seen, False
    if int(figures[1]) > 0:
        return (yield order("restart_service", root)), True
    if int(figures[2]) > 0:
        return (yield order("restart_thread_pool", root)), True
    pools = re.findall(r"([a-z]+) (\d+)/(\d+)", figures[3])
    if pools and int(pools[0][1]) >= int(pools[0][2]):
        return (yield from undo(tell, seen, root, [pools[0][0]], "slots"))
    return seen, False


def mend_pipelines(seen: Seen, cured: set[str]) -> Mending:
    """No call fails and customers are let down: what they read may be stale."""
    for name in sorted(seen.graph):
        if name.endswith("-queue"):
            seen = yield order("inspect_pipeline_topology", name)
            speed = re.search(r"speed ([\d.]+)", seen.feedback)
            if speed and float(speed[1]) < 1 and name not in cured:
                cured.add(name)
                yield order("restart_pipeline_job", name)
                return (yield order("flush_pipeline_stage", name)), True
    return seen, False
