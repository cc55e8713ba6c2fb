"""Adapters to trainers and evaluation frameworks, one module each, for every environment.

Each module imports its own trainer and no other: `openenv_kit.trainers.verifiers` needs
verifiers, and so on. What they share, an episode played by tool calls, needs none: see
`tool_calls`.
"""
