"""The certificate runner: units of work over processes or a Ray cluster.

What one certificate proves is up to the environment; see `Certifier`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any, NamedTuple, Protocol

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.ray_cluster import connect_to_ray

PROCESSES, RAY = ENGINES = ("processes", "ray")
UNITS_PER_CHUNK = 10
"""Units that a process is given at a time."""


class CertificateTable(NamedTuple):
    """A table of many certificates; the first two columns of every row are names."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]


class Certifier(Protocol):
    """How an environment certifies its episodes; a module with these functions is one.

    A certificate has the attribute `holds` (whether the episode is proven fair) and a method
    `as_dict`, JSON-ready. `iter_configurations` rejects extra reset arguments that it does not
    know.
    """

    @property
    def levels(self) -> Sequence[str]:
        """Names of all levels that can be certified."""

    @property
    def default_levels(self) -> Sequence[str]:
        """Names of the levels that are certified when none is named."""

    def iter_configurations(
        self, seeds: range, *, levels: Sequence[str], extra_reset_arguments: Mapping[str, Any]
    ) -> Iterable[Any]:
        """Units of work, picklable: one for each episode to be certified."""

    def certify_one(self, config: Any) -> Any:
        """The certificate of a unit; a pure function of it."""

    def certificate_table(self, certificates: Sequence[Any]) -> CertificateTable:
        """Return a table of many certificates."""

    def summarize(self, certificates: Sequence[Any]) -> str:
        """A few words about many certificates, without a full stop."""


def require_certifier(environment: Environment) -> Certifier:
    """The environment's certifier; a ConfigurationError where it has none."""
    if environment.certifier is None:
        raise ConfigurationError(f"{environment.name} has no certificates.")
    return environment.certifier


def certify_configuration(environment_name: str, configuration: Any) -> Any:
    """The certificate of a unit of work."""
    return require_certifier(get_environment(environment_name)).certify_one(configuration)


def iter_certificates(
    environment_name: str, configurations: Sequence[Any], worker_count: int, engine: str = PROCESSES
) -> Iterator[Any]:
    """Certificates of every unit, in order, made by processes or by the Ray cluster.

    Raises:
        ConfigurationError: the engine is Ray, which is not installed.
    """
    if engine == RAY:
        with connect_to_ray() as ray:
            certify_there = ray.remote(certify_configuration)
            for each in [certify_there.remote(environment_name, unit) for unit in configurations]:
                yield ray.get(each)
        return
    with ProcessPoolExecutor(worker_count) as pool:
        yield from pool.map(
            partial(certify_configuration, environment_name),
            configurations,
            chunksize=UNITS_PER_CHUNK,
        )
