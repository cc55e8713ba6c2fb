"""Tables of a user that a server plays as episodes, for holders of the trainer's token.

A table is read once, when the server starts, and stays in memory. Its numbers are never written:
not to the log, the metrics, the store or a recording.
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
"""Reset arguments of an episode of a table."""
MIN_DAYS = 28
"""Smallest number of days of a table."""
_OPTION_PATTERN = re.compile(r"(?P<name>[a-z0-9_]{1,40})=(?P<table>.+):(?P<product>[^:]+)")


@dataclass(frozen=True)
class TableOption:
    """Value of the option `--table`: the name in resets, the file, and the product that it fits.

    Attributes:
        name: name of the table in the reset argument `table`.
        table: file of the table.
        product: product file that an import of such a table made.
    """

    name: str
    table: Path
    product: Path

    @classmethod
    def parse(cls, text: str) -> TableOption:
        """Parse an option of the form `NAME=FILE:PRODUCT`.

        Raises:
            InvalidValueError: the option has another form.
        """
        match = _OPTION_PATTERN.fullmatch(text)
        if match is None:
            allowed = "NAME=FILE:PRODUCT, with 1 to 40 of the characters a to z, 0 to 9 and _"
            raise InvalidValueError("--table", text, f"{allowed} in NAME")
        return cls(match["name"], Path(match["table"]), Path(match["product"]))


@dataclass(frozen=True, eq=False)
class ServedTable:
    """A table in memory.

    Attributes:
        own_data: support of the environment that plays it.
        table: cleaned counts.
        product_path: product file that provides the thresholds.
        product: content of the product file, which selects the tools of its episodes.
    """

    own_data: OwnDataSupport
    table: CleanedTable
    product_path: Path
    product: Mapping[str, Any]

    def start_session(self, profile: str | None = None) -> StartedSession:
        """Start an episode of the table's last four weeks.

        Raises:
            KitError: the window is not complete, or the profile is unknown.
        """
        request = InvestigationRequest(profile=profile)
        investigation = self.own_data.start_investigation(self.table, self.product_path, request)
        return investigation.start_session()


def parse_table_options(setting: str) -> tuple[TableOption, ...]:
    """Parse the setting `tables`.

    Raises:
        InvalidValueError: an option has another form, or a name occurs twice.
    """
    options = tuple(map(TableOption.parse, filter(None, setting.split(TABLE_SEPARATOR))))
    names = [option.name for option in options]
    for name in names:
        if names.count(name) > 1:
            raise InvalidValueError("--table", name, "a different name for each table")
    return options


@lru_cache(maxsize=8)
def load_served_tables(setting: str, environment_name: str) -> Mapping[str, ServedTable]:
    """Read the tables of an environment into memory, once for each value of the setting.

    Args:
        setting: value of the setting `tables`.
        environment_name: name of the environment; tables of other environments are left out.

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
    """Check that each table of the setting can be played on the server, and read it.

    Raises:
        ConfigurationError: no environment of the server has the product of a table, or a table
            cannot be used.
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
        own_data.find_product(product)  # checks its content
        options = ImportOptions(table=option.table, stages=tuple(product["stages"]))
        table = load_table(options, TableLimits(min_days=MIN_DAYS))
        served = ServedTable(own_data, table, option.product, product)
        served.start_session()  # the last weeks have to be complete
    except (KitError, ModuleNotFoundError, OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"--table {option.name}: {error}") from None
    return served
