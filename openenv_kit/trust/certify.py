"""The certificate runner: units of work over processes or a Ray cluster, resumed from JSON lines.

What one certificate proves is up to the environment; see `Certifier`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import ConfigurationError
from openenv_kit.ray_cluster import cluster

PROCESSES, RAY = ENGINES = ("processes", "ray")
BATCH = 10
"""Units that a worker is given at a time; what an interrupted run loses is less than that."""

Batches = Sequence[Sequence[Any]]


class Certifier(Protocol):
    """How an environment certifies its episodes; a module with these functions is one.

    A unit of work is a configuration with an `identity`; its certificate has the attributes
    `config` and `holds` (whether the episode is proven fair) and a method `as_dict`. Where some
    levels are certified only when they are asked for, `usual_levels` names the others. Where
    episodes differ by more than seed and level, `grid` takes `reset`, a mapping of further
    arguments of every reset, and refuses those that it does not know.
    """

    @property
    def levels(self) -> Sequence[str]:
        """Names of levels."""

    def grid(self, seeds: range, *, difficulties: Sequence[str]) -> Iterable[Any]:
        """Units of work, picklable: one for each episode to be certified."""

    def certify_one(self, config: Any) -> Any:
        """The certificate of a unit; a pure function of it."""

    def certificate_from(self, fields: dict[str, Any]) -> Any:
        """A certificate from its JSON form.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is not one.
        """

    def table(self, certificates: Sequence[Any]) -> tuple[Sequence[str], list[Sequence[str]]]:
        """Titles and rows of a table of many certificates; the first two columns are names."""

    def summary(self, certificates: Sequence[Any]) -> str:
        """A few words about many certificates, without a full stop."""


class CertificateFile:
    """Certificates as JSON lines, one per episode; an interrupted run is resumed from them.

    The file may not exist yet.
    """

    def __init__(self, path: Path, environment: Environment) -> None:
        self._path, self._certifier = path, certifier_of(environment)
        self._versions = dict(environment.versions)

    def known(self) -> dict[str, Any]:
        """Certificates of an earlier run, by the identity of their episode.

        Raises:
            ConfigurationError: a line is not a certificate, or is of other versions.
        """
        found: dict[str, Any] = {}
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        for number, line in enumerate(lines, start=1):
            place = f"{self._path}, line {number}"
            try:
                fields = json.loads(line)
                made_with = fields.pop("versions")
                each = self._certifier.certificate_from(fields)
            except json.JSONDecodeError:
                continue  # the line that an interrupted run was writing
            except (KeyError, TypeError, ValueError, AttributeError):
                raise ConfigurationError(f"{place}: not a certificate.") from None
            if made_with != self._versions:
                raise ConfigurationError(
                    f"{place}: made under versions {made_with}, these are {self._versions}; "
                    "name another file."
                )
            found[each.config.identity] = each
        return found

    def written(self, certificates: Iterable[Any]) -> Iterator[Any]:
        """The certificates, each appended as soon as it is made."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            if file.tell():
                file.write("\n")  # ends the line that an interrupted run may have left open
            for each in certificates:
                file.write(json.dumps({**each.as_dict(), "versions": self._versions}) + "\n")
                yield each


def certifier_of(environment: Environment) -> Certifier:
    """The environment's certifier; a ConfigurationError where it has none."""
    if environment.certifier is None:
        raise ConfigurationError(f"{environment.name} has no certificates.")
    return environment.certifier


def certify_batch(environment: str, units: Sequence[Any]) -> list[Any]:
    """Certificates of a batch, in order."""
    certifier = certifier_of(get_environment(environment))
    return [certifier.certify_one(unit) for unit in units]


def certified(
    environment: str, batches: Batches, workers: int, engine: str = PROCESSES
) -> Iterator[list[Any]]:
    """Certificates of every batch, in the order in which they are done.

    Raises:
        ConfigurationError: the engine is Ray, which is not installed.
    """
    work = partial(certify_batch, environment)
    if engine == RAY:
        yield from _on_ray(work, batches)
        return
    with ProcessPoolExecutor(workers) as pool:
        for job in as_completed([pool.submit(work, batch) for batch in batches]):
            yield job.result()


def _on_ray(work: partial[list[Any]], batches: Batches) -> Iterator[list[Any]]:
    """The same unit of work on the Ray cluster that the environment points to, or a local one."""
    with cluster() as ray:
        work_there = ray.remote(work.func)
        waiting = [work_there.remote(*work.args, batch) for batch in batches]
        while waiting:
            ready, waiting = ray.wait(waiting)
            yield from ray.get(ready)
