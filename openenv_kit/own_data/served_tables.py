"""Users' tables that a server offers as episodes to clients with the trainer's token.

A table is read once, when the server starts, and stays in memory. Its numbers are never written to
the log, the metrics, the store or a recording.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from openenv_kit.environment import Environment, get_environment
from openenv_kit.errors import ConfigurationError, InvalidValueError, KitError, require_name
from openenv_kit.own_data.cleaned_table import CleanedTable
from openenv_kit.own_data.product_argument import require_own_data
from openenv_kit.own_data.product_paths import read_environment_name
from openenv_kit.own_data.support import InvestigationRequest, OwnDataSupport
from openenv_kit.rollouts.run_policy import StartedSession
from openenv_kit.variables import TABLE_SEPARATOR

TABLE_ARGUMENTS = ("table", "episode_id", "profile")
"""Reset arguments that an episode of a table accepts."""
MIN_DAYS = 28
"""Smallest number of days of a table."""
_OPTION_PATTERN = re.compile(r"(?P<name>[a-z0-9_]{1,40})=(?P<table>.+):(?P<product>[^:]+)")


@dataclass(frozen=True)
class TableOption:
    """Value of the option `--table`.

    Attributes:
        name: name of the table, the value of the reset argument `table`.
        table: file of the table.
        product: product file that was made from this table or an earlier version of it.
    """

    name: str
    table: Path
    product: Path

    @classmethod
    def parse(cls, text: str) -> TableOption:
        """Parse an option of the form `NAME=FILE:PRODUCT`.

        Raises:
            InvalidValueError: the option does not have this form.
        """
        match = _OPTION_PATTERN.fullmatch(text)
        if match is None:
            allowed = "NAME=FILE:PRODUCT, with 1 to 40 of the characters a to z, 0 to 9 and _"
            raise InvalidValueError("--table", text, f"{allowed} in NAME")
        return cls(match["name"], Path(match["table"]), Path(match["product"]))


@dataclass(frozen=True, eq=False)
class ServedTable:
    """A table that a server keeps in memory and makes episodes from.

    Attributes:
        own_data: interface of the table's environment for users' tables.
        table: cleaned counts.
        product_path: product file with the thresholds.
        product: content of the product file, which determines the available tools.
    """

    own_data: OwnDataSupport
    table: CleanedTable
    product_path: Path
    product: Mapping[str, Any]

    def start_session(self, profile: str | None = None) -> StartedSession:
        """Start an episode with the last four weeks of the table.

        Raises:
            KitError: the last four weeks are not complete, or the profile is unknown.
        """
        request = InvestigationRequest(profile=profile)
        investigation = self.own_data.start_investigation(self.table, self.product_path, request)
        return investigation.start_session()


def parse_table_options(setting: str) -> tuple[TableOption, ...]:
    """Parse the setting `tables`.

    Raises:
        InvalidValueError: an option has an invalid form, or two tables have the same name.
    """
    options = tuple(map(TableOption.parse, filter(None, setting.split(TABLE_SEPARATOR))))
    names = [option.name for option in options]
    for name in names:
        if names.count(name) > 1:
            raise InvalidValueError("--table", name, "a different name for each table")
    return options


@lru_cache(maxsize=8)
def load_served_tables(setting: str, environment_name: str) -> Mapping[str, ServedTable]:
    """Read the tables of an environment into memory. The result is cached for each setting.

    Args:
        setting: value of the setting `tables`.
        environment_name: name of the environment. Tables of other environments are not read.

    Raises:
        ConfigurationError: a table or its product cannot be used.
    """
    environment = get_environment(environment_name)
    return {
        option.name: _load_table(option, environment)
        for option in parse_table_options(setting)
        if read_environment_name(option.product) == environment_name
    }


def require_tables_belong_to_environments(
    setting: str, environments: Sequence[Environment]
) -> None:
    """Read each table of the setting and check that it belongs to an environment of the server.

    Raises:
        ConfigurationError: the product of a table belongs to no environment of the server, or a
            table cannot be used.
    """
    names = [environment.name for environment in environments]
    for option in parse_table_options(setting):
        require_name(
            f"environment of the product of --table {option.name}",
            read_environment_name(option.product),
            names,
        )
    for name in names:
        load_served_tables(setting, name)


def _load_table(option: TableOption, environment: Environment) -> ServedTable:
    from openenv_kit.own_data.check_days import TableLimits
    from openenv_kit.own_data.clean_table import load_table
    from openenv_kit.own_data.options import ImportOptions

    own_data = require_own_data(environment)
    try:
        product = tomllib.loads(option.product.read_text("utf-8"))
        own_data.find_product(product)  # Raises an error if the content is invalid.
        options = ImportOptions(table=option.table, stages=tuple(product["stages"]))
        table = load_table(options, TableLimits(min_days=MIN_DAYS))
        served = ServedTable(own_data, table, option.product, product)
        served.start_session()  # Raises an error if the last weeks are incomplete.
    except (KitError, ModuleNotFoundError, OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"--table {option.name}: {error}") from None
    return served
