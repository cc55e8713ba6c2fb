"""Computes certificates of many episodes, in several processes or on a Ray cluster.

Each environment defines what its certificates prove; see `Certifier`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeAlias

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.ray_cluster import connect_to_ray

CONFIGURATIONS_PER_CHUNK = 10
"""Number of configurations that are sent to a process at a time."""

EpisodeConfiguration: TypeAlias = Any
"""Configuration of an episode. Each environment defines its own picklable type."""


class CertificationEngine(StrEnum):
    """Where certificates are computed: in local processes or on a Ray cluster."""

    PROCESSES = "processes"
    RAY = "ray"


class EpisodeCertificate(Protocol):
    """Proof record of one episode."""

    @property
    def holds(self) -> bool:
        """Whether the certificate proves that the episode is fair."""

    def as_dict(self) -> dict[str, Any]:
        """Return the certificate as JSON values."""


class CertificateTable(NamedTuple):
    """A table of certificates; the first two cells of every row are names."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]


class Certifier(Protocol):
    """Certifies an environment's episodes. A module with these functions can be used as well."""

    @property
    def levels(self) -> Sequence[str]:
        """Names of all levels that can be certified."""

    @property
    def default_levels(self) -> Sequence[str]:
        """Names of the levels that are certified by default."""

    def iter_configurations(
        self, seeds: range, *, levels: Sequence[str], extra_reset_arguments: Mapping[str, Any]
    ) -> Iterable[EpisodeConfiguration]:
        """Yield the configurations of the episodes to certify; they must be picklable.

        Raises:
            ConfigurationError: a reset argument is unknown.
        """

    def certify_episode(self, config: EpisodeConfiguration) -> EpisodeCertificate:
        """Certify the episode of a configuration. The result depends only on the configuration."""

    def tabulate_certificates(self, certificates: Sequence[Any]) -> CertificateTable:
        """Return a table that summarizes certificates."""

    def summarize_certificates(self, certificates: Sequence[Any]) -> str:
        """Summarize certificates in one phrase, without a period at the end."""


def require_certifier(environment: Environment) -> Certifier:
    """Return the certifier of an environment.

    Raises:
        ConfigurationError: the environment has no certifier.
    """
    if environment.certifier is None:
        raise ConfigurationError(f"{environment.name} has no certificates.")
    return environment.certifier


def certify_configuration(
    environment_name: str, configuration: EpisodeConfiguration
) -> EpisodeCertificate:
    """Certify the episode of a configuration and return its certificate."""
    return require_certifier(get_environment(environment_name)).certify_episode(configuration)


def iter_certificates(
    environment_name: str,
    configurations: Sequence[EpisodeConfiguration],
    worker_count: int,
    engine: str = CertificationEngine.PROCESSES,
) -> Iterator[EpisodeCertificate]:
    """Certify the episodes of configurations in parallel and yield the certificates in order.

    Args:
        environment_name: name of the environment.
        configurations: configurations of the episodes.
        worker_count: number of processes.
        engine: a `CertificationEngine`.

    Raises:
        ConfigurationError: the engine is Ray, which is not installed.
    """
    if engine == CertificationEngine.RAY:
        with connect_to_ray() as ray:
            remote_certify = ray.remote(certify_configuration)
            futures = [
                remote_certify.remote(environment_name, configuration)
                for configuration in configurations
            ]
            for future in futures:
                yield ray.get(future)
        return
    with ProcessPoolExecutor(worker_count) as pool:
        yield from pool.map(
            partial(certify_configuration, environment_name),
            configurations,
            chunksize=CONFIGURATIONS_PER_CHUNK,
        )
