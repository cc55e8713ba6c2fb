"""Saves the state of a curriculum beside a checkpoint, and restores it.

A custom training loop calls `write_curriculum_file` when it writes a checkpoint, and
`read_curriculum_file` when it resumes from a checkpoint. With TRL, `CurriculumCallback` does both.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from openenv_kit.errors import ConfigurationError
from openenv_kit.rollouts.curriculum import Curriculum

CURRICULUM_FILENAME = "curriculum.json"
"""Name of the file in a checkpoint's folder."""


def write_curriculum_file(curriculum: Curriculum, checkpoint_folder: Path | str) -> Path:
    """Write the state of a curriculum to a checkpoint's folder and return the path of the file.

    The file is replaced atomically, so it is never incomplete, even if the process is killed.

    Args:
        curriculum: curriculum whose state is written.
        checkpoint_folder: folder of the checkpoint; it is created if it does not exist.
    """
    folder = Path(checkpoint_folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / CURRICULUM_FILENAME
    unfinished_path = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished_path.write_text(json.dumps(curriculum.state_dict()) + "\n", encoding="utf-8")
    unfinished_path.replace(path)
    return path


def read_curriculum_file(curriculum: Curriculum, checkpoint_folder: Path | str) -> bool:
    """Restore the state of a curriculum from a checkpoint's folder, if it contains one.

    Args:
        curriculum: curriculum whose state is replaced.
        checkpoint_folder: folder of the checkpoint.

    Returns:
        Whether the folder contains a state.

    Raises:
        InvalidValueError: the state belongs to a curriculum with a different number of stages.
        ConfigurationError: the file does not contain the state of a curriculum.
    """
    path = Path(checkpoint_folder) / CURRICULUM_FILENAME
    if not path.is_file():
        return False
    try:
        curriculum.load_state_dict(json.loads(path.read_text(encoding="utf-8")))
    except ConfigurationError:
        raise
    except (ValueError, KeyError, TypeError) as problem:
        raise ConfigurationError(
            f"{path} contains no state of a curriculum ({type(problem).__name__}: {problem})."
        ) from None
    return True
