"""An existing client of this kind of environment, written from the contract alone.

Standard library only: plain HTTP without an episode id, rules of its own, log lines on standard
output. `python firewatch_client.py URL [TASK SEED TICKS]…` plays tasks one after the other.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

TASKS = [
    ("task_easy_oom_baseline", "easy", 42, 20),
    ("task_medium_cascade_memleak", "medium", 295, 30),
    ("task_hard_config_drift_noise", "hard", 2560, 40),
]
CURES = (
    (("oomkilled", "exit code 137", "memory limit"), "restart_service"),
    (("nullpointerexception", "deploy", "version"), "rollback_deploy"),
    (("hikaripool", "connection pool", "timed out after"), "revert_config"),
    (("connection refused", "circuit breaker"), "circuit_break"),
    (("memory leak", "high latency"), "scale_replicas"),
)


def post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        url,
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Connection": "close"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def active(view: dict[str, Any]) -> bool:
    return (
        len(view) != 9
        or view["status"] != "healthy"
        or view["http_server_error_rate"] >= 0.05
        or view["http_server_request_duration_p99"] >= 0.5
        or view["process_memory_utilization"] >= 0.70
        or view["http_server_active_requests"] >= 100
    )


def decide(observation: dict[str, Any], step: int, history: list[tuple[str, str]]) -> Any:
    services = observation["services"]
    unwell = [name for name, view in services.items() if active(view)]
    if not unwell:
        return {"action_type": "declare_resolved"}
    graph = observation["dependency_graph"]
    unwell.sort(key=lambda name: (-services[name]["http_server_error_rate"], name))
    deepest = [n for n in unwell if not set(graph.get(n, [])) & set(unwell)] or unwell
    root = deepest[0]
    if step == 1:
        return {"action_type": "fetch_logs", "target_service": root}
    if step in (2, 3):
        return {"action_type": "trace_dependencies", "target_service": root}
    logs = " ".join(line for view in services.values() for line in view["recent_logs"]).lower()
    kind = next((cure for words, cure in CURES if any(w in logs for w in words)), "restart_service")
    tried = [done for done, target in history if target == root]
    order = ["restart_service", "rollback_deploy", "revert_config", "circuit_break"]
    if tried.count(kind) >= 3:
        kind = order[len(tried) % len(order)]
    return {"action_type": kind, "target_service": root}


def play(base: str, task: str, difficulty: str, seed: int, ticks: int) -> float:
    print(f"[START] task={task} env=firewatch-env model=rules", flush=True)
    reset = {"difficulty": difficulty, "seed": seed, "task_id": task}
    observation = post(f"{base}/reset", reset)["observation"]
    history: list[tuple[str, str]] = []
    rewards, score, step = [], 0.0, 0
    for step in range(1, ticks + 1):
        action = decide(observation, step, history)
        history.append((action["action_type"], action.get("target_service", "")))
        result = post(f"{base}/step", {"action": action})
        observation, info = result["observation"], result["info"]
        rewards.append(f"{result['reward']:.2f}")
        error = info["error"] or "null"
        order = ":".join(filter(None, history[-1]))
        print(
            f"[STEP] step={step} action={order} reward={rewards[-1]} "
            f"done={str(result['done']).lower()} error={error}",
            flush=True,
        )
        assert isinstance(info["action_feedback"], str)
        if result["done"]:
            score = observation["episode_score"] or 0.0
            break
    success = str(score >= 0.5).lower()
    print(f"[END] success={success} steps={step} score={score:.2f} rewards={','.join(rewards)}")
    return score


def main() -> None:
    base = sys.argv[1].rstrip("/")
    with urllib.request.urlopen(f"{base}/health", timeout=60) as answer:
        assert answer.status == 200
    given = [each.split(":") for each in sys.argv[2:]]
    tasks = [(t, d, int(s), int(n)) for t, d, s, n in given] or TASKS
    for task in tasks:
        play(base, *task)


if __name__ == "__main__":
    main()
