"""Plays an episode made from a visitor's own table in this process, without storing it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openenv_kit.episode_clients.in_process import observation_json_from_reply
from openenv_kit.episode_clients.protocol import ObservationJson
from openenv_kit.errors import KitError
from openenv_kit.own_data.cleaned_table import CleanedTable
from openenv_kit.own_data.support import Investigation, InvestigationRequest, OwnDataSupport
from openenv_kit.serving.episodes.table_sessions import PrivateDataError
from openenv_kit.session import Session


class InvestigationClient:
    """Plays an investigation; see `EpisodeClient`.

    Unexpected errors are logged and could contain numbers from the table. They are therefore
    replaced with an error that states only their type.

    Args:
        investigation: episode of a window of the table.
    """

    def __init__(self, investigation: Investigation) -> None:
        self._investigation = investigation
        self._session: Session | None = None

    def reset(self, arguments: Mapping[str, Any]) -> ObservationJson:
        started = self._investigation.start_session()
        self._session = started.session
        return observation_json_from_reply(started.reset_reply)

    def step(self, action: Mapping[str, Any]) -> ObservationJson:
        try:
            return observation_json_from_reply(self._require_session().step(action))
        except KitError:
            raise
        except Exception as error:
            raise PrivateDataError(type(error).__name__) from None

    def state(self) -> dict[str, Any]:
        return dict(self._require_session().state().model_dump())

    def close(self) -> None:
        """Discard the session."""
        self._session = None

    def _require_session(self) -> Session:
        if self._session is None:
            raise PrivateDataError("no session")
        return self._session


def investigate_last_weeks(
    own_data: OwnDataSupport, table: CleanedTable, product_text: str
) -> Investigation:
    """Return an investigation of the last four weeks of a table.

    Raises:
        ConfigurationError: a day of the window is missing.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:
        file.write(product_text)
        file.flush()
        return own_data.start_investigation(table, Path(file.name), InvestigationRequest())
