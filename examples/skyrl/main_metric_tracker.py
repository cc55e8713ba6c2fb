"""SkyRL's training entry point with this environment registered."""

import sys

import ray
from skyrl.train.config import SkyRLTrainConfig
from skyrl.train.entrypoints.main_base import BasePPOExp
from skyrl.train.utils import validate_cfg
from skyrl.train.utils.utils import initialize_ray

from openenv_kit.trainers.skyrl import register_environment


@ray.remote(num_cpus=1)
def train(cfg: SkyRLTrainConfig) -> None:
    """Register the environment in the process that creates it, and train."""
    register_environment()
    BasePPOExp(cfg).run()


def main() -> None:
    """Parse the command line and train."""
    cfg = SkyRLTrainConfig.from_cli_overrides(sys.argv[1:])
    validate_cfg(cfg)
    initialize_ray(cfg)
    ray.get(train.remote(cfg))


if __name__ == "__main__":
    main()
