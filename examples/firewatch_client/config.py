"""The 60 tasks and the 72 actions, under the names that existing clients import.

With this folder on the path (`PYTHONPATH=examples/firewatch_client`), an existing client plays all
of them.
"""

from firewatch_env.actions import ACTIONS
from firewatch_env.tasks.levels import LEVELS
from firewatch_env.tasks.named import NAMED

ACTION_REGISTRY = {name: action.summary for name, action in ACTIONS.items()}


class Task:
    """A named task, with the attributes that clients read."""

    def __init__(self, task_id: str, difficulty: str, grader_seed: int) -> None:
        self.task_id = task_id
        self.difficulty = difficulty
        self.grader_seed = grader_seed
        self.max_ticks = LEVELS[difficulty].ticks
        self.description = task_id.removeprefix(f"task_{difficulty}_").replace("_", " ")


TASKS = {name: Task(name, named.difficulty, named.seed) for name, named in NAMED.items()}
