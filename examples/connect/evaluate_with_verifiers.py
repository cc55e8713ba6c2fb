import asyncio

import verifiers.v1 as vf

# The server's token is read from $OPENENV_KIT_TOKEN.
tools = {
    "environment": "metric_tracker_rl",
    "base_url": "http://localhost:8000",
    "record": "runs",
}
taskset = {"id": "metric-tracker-verifiers", "split": "validation", "count": 2}
agent = {"harness": {"id": "null"}, "runtime": {"type": "subprocess"}}
config = {"taskset": {**taskset, "task": {"tools": tools}}, "agent": agent}
env = vf.load_environment(vf.resolve_env_config(config))
model = vf.ModelContext("my-model", vf.EvalClientConfig())


async def play():
    async with env.serving():
        episodes = [await env.run_episode(task, model) for task in env.taskset]
    return [episode.traces[0].reward for episode in episodes]


print(asyncio.run(play()))
