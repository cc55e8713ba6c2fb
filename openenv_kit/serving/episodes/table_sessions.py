"""Sessions that play the episodes of a served table, and the environment that creates them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from openenv_kit.environment import Environment
from openenv_kit.errors import KitError, require_name
from openenv_kit.own_data.served_tables import TABLE_ARGUMENTS, ServedTable
from openenv_kit.recordings.digest import compute_private_digest
from openenv_kit.reply import Reply
from openenv_kit.reset_arguments import EPISODE_ID, TABLE, ResetArgument
from openenv_kit.session import Session


class PrivateDataError(RuntimeError):
    """An unexpected error in an episode of a table.

    The message contains only the type of the original error, because the original message may
    contain values from the table.
    """


class TableSession(Session):
    """Plays episodes of the served tables of an environment.

    A session of the environment executes the actions. This class counts and limits the steps.

    Args:
        environment: environment to which the tables belong.
        tables: the tables, by name.
    """

    def __init__(self, environment: Environment, tables: Mapping[str, ServedTable]) -> None:
        super().__init__()
        self._tables = tables
        self._table_name = ""
        self._investigation: Session = environment.create_session()
        self.state_model = self._investigation.state_model

    def start_episode(self, **arguments: Any) -> Reply:
        for name in arguments:
            require_name("reset argument with a table", name, TABLE_ARGUMENTS)
        table_name = require_name(TABLE.name, arguments.get(TABLE.name), self._tables)
        try:
            started = self._tables[table_name].start_session(arguments.get("profile"))
        except KitError:
            raise
        except Exception as error:
            raise PrivateDataError(type(error).__name__) from None
        self._table_name, self._investigation = table_name, started.session
        self.task_id, self.max_steps = started.session.task_id, started.session.max_steps
        return started.reset_reply

    def execute_action(self, action: Mapping[str, Any]) -> Reply:
        try:
            return self._investigation.execute_action(action)
        except KitError:
            raise
        except Exception as error:
            raise PrivateDataError(type(error).__name__) from None

    def build_episode_identity(self) -> Mapping[str, Any]:
        """Return a digest of the table's name, keyed with a secret of this process."""
        if not self._table_name:
            return {}
        return {TABLE.name: compute_private_digest(self._table_name)}

    def build_extra_state_fields(self) -> Mapping[str, Any]:
        return self._investigation.build_extra_state_fields()

    @property
    def memory_bytes(self) -> int:
        return self._investigation.memory_bytes

    def build_error_reply(self, message: str) -> Reply:
        return self._investigation.build_error_reply(message)

    def build_step_limit_reply(self) -> Reply:
        self._investigation.max_steps = self.max_steps
        return self._investigation.build_step_limit_reply()


class TableEnvironment:
    """Wraps an environment so that its sessions play tables; other members are unchanged.

    Args:
        environment: environment to which the tables belong.
        tables: the tables, by name.
    """

    def __init__(self, environment: Environment, tables: Mapping[str, ServedTable]) -> None:
        self._environment = environment
        self._tables = tables
        self.reset_arguments: Mapping[str, ResetArgument] = {
            TABLE.name: TABLE,
            EPISODE_ID.name: EPISODE_ID,
            "profile": environment.reset_arguments["profile"],
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environment, name)

    def create_session(self, *, debug: bool = False) -> TableSession:
        """Create a session. `debug` is ignored, so that no answers of a table are shown."""
        return TableSession(self._environment, self._tables)

    def build_result_labels(self, reset_arguments: Mapping[str, Any]) -> Mapping[str, str]:
        """Return an empty dictionary, because a table has no level."""
        return {}


def create_table_environment(
    environment: Environment, tables: Mapping[str, ServedTable]
) -> Environment:
    """Wrap an environment so that its sessions play the given tables."""
    return cast(Environment, TableEnvironment(environment, tables))
