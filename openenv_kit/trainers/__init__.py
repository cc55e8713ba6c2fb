"""Adapters to trainers and evaluation frameworks, one module each.

Nothing here is imported by the engine, the server or the client, and no module imports a
trainer that it was not asked for: `openenv_kit.trainers.trl` needs TRL, and so on.
What they share, a play of one episode by tool calls, needs neither: see `tool_calls`.
"""
