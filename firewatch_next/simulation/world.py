"""The world: services, time, the schedule of edits, changes and faults."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from firewatch_next.simulation.edits import Edit
from firewatch_next.simulation.log_event import LogEvent, LogRecord
from firewatch_next.simulation.service import Service

if TYPE_CHECKING:
    from firewatch_next.simulation.history import History
