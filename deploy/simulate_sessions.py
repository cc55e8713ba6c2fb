"""How many workers a number of sessions takes: a simulation fed with measured figures.

One worker is one core that serves steps in the order they come. Its sessions think, send a step
and wait for the reply; every so often the step is a reset. The simulation finds the fewest
workers whose 99th percentile stays under a bound, and says what bounds them: CPU, memory or
slots. The defaults are the figures of docs/serving.md; measure your own machine with
`python -m benchmarks.serving` and pass them here.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random


def p99_ms(
    sessions: int, think_s: float, step_s: float, reset_s: float, reset_share: float, events: int
) -> float:
    """99th percentile of the time from a step to its reply, at one worker, in milliseconds.

    Args:
        sessions: sessions on this worker.
        think_s: mean time between a reply and the next step; exponential.
        step_s: CPU of a step.
        reset_s: CPU of a reset.
        reset_share: share of requests that are resets.
        events: requests to simulate.
    """
    rng = random.Random(0)
    arrivals = [rng.expovariate(1 / think_s) for _ in range(sessions)]
    heapq.heapify(arrivals)
    free_at = 0.0
    waits = []
    for _ in range(events):
        now = heapq.heappop(arrivals)
        cost = reset_s if rng.random() < reset_share else step_s
        free_at = max(now, free_at) + cost
        waits.append(free_at - now)
        heapq.heappush(arrivals, free_at + rng.expovariate(1 / think_s))
    settled = sorted(waits[len(waits) // 5 :])
    return settled[int(0.99 * len(settled))] * 1000


def workers_needed(total: int, think_s: float, given: argparse.Namespace) -> tuple[int, float]:
    """Fewest workers, and the 99th percentile with them in milliseconds."""
    low = math.ceil(total / given.slots)
    high = max(low, math.ceil(2 * total * given.step_us * 1e-6 / think_s) + 1)

    def latency(workers: int) -> float:
        return p99_ms(
            math.ceil(total / workers),
            think_s,
            given.step_us * 1e-6,
            given.reset_us * 1e-6,
            1 / given.steps_per_episode,
            given.events,
        )

    while latency(high) > given.p99_ms:
        high *= 2
    while low < high:
        middle = (low + high) // 2
        if latency(middle) <= given.p99_ms:
            high = middle
        else:
            low = middle + 1
    return low, latency(low)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--step-us", type=float, default=98, help="CPU per step")
    parser.add_argument("--reset-us", type=float, default=1263, help="CPU per reset")
    help_of_kb = "memory per session; about 550 on drill_sql"
    parser.add_argument("--session-kb", type=float, default=60, help=help_of_kb)
    parser.add_argument("--worker-mb", type=float, default=250, help="memory of an idle worker")
    parser.add_argument("--slots", type=int, default=1024, help="MAX_CONCURRENT_ENVS")
    parser.add_argument("--steps-per-episode", type=float, default=12)
    parser.add_argument("--p99-ms", type=float, default=50, help="bound on the 99th percentile")
    parser.add_argument("--events", type=int, default=40_000, help="requests to simulate")
    given = parser.parse_args()
    print("sessions  think s  workers  sessions each  CPU each  p99 ms  memory GB")
    for total in (10_000, 100_000):
        for think_s in (0.1, 1.0, 10.0):
            workers, latency = workers_needed(total, think_s, given)
            mean_us = given.step_us + given.reset_us / given.steps_per_episode
            busy = total / workers / (think_s + latency / 2000) * mean_us * 1e-6
            memory = (workers * given.worker_mb * 1e3 + total * given.session_kb) / 1e6
            print(
                f"{total:8,}  {think_s:7g}  {workers:7,}  {math.ceil(total / workers):13,}"
                f"  {min(busy, 1.0):8.0%}  {latency:6.1f}  {memory:9.1f}"
            )


if __name__ == "__main__":
    main()
