"""Every fault type, found in the files of this folder."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import firewatch_next.faults as folder
from firewatch_next.faults.fault_type import FaultType


@cache
def fault_types() -> dict[str, FaultType]:
    """Return all fault types by name, sorted.

    A file belongs to a fault type if it defines `FAULT_TYPE`. Adding one needs no other change.

    Raises:
        ValueError: if a file's fault type has another name than the file.
    """
    found = {}
    for module_info in pkgutil.iter_modules(folder.__path__):
        module = importlib.import_module(f"{folder.__name__}.{module_info.name}")
        fault_type = getattr(module, "FAULT_TYPE", None)
        if not isinstance(fault_type, FaultType):
            continue
        if fault_type.name != module_info.name:
            raise ValueError(f"{module_info.name}.py defines the fault type {fault_type.name!r}")
        found[fault_type.name] = fault_type
    return dict(sorted(found.items()))
