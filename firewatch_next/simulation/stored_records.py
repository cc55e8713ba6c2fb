"""Records of a store or cache by layout and writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firewatch_next.simulation.service import Service
from firewatch_next.simulation.things import RecordSet
from openenv_kit.float_sum import sum_left_to_right

if TYPE_CHECKING:
    from firewatch_next.simulation.world import World


def list_initial_records(world: World, store: Service) -> list[RecordSet]:
    """Return the records of a store: every caller writes the same layout."""
    clients = world.incoming[store.name]
    layout = f"v{2 + len(store.name) % 5}"
    return [
        RecordSet(layout, f"{client.caller} {world.services[client.caller].version}",
                  1.0 / len(clients))
        for client in clients
    ]  # fmt: skip


def usual_layout(store: Service) -> str:
    """Return the layout that every reader of a store knows."""
    return store.records[0].layout


def set_layout_share(store: Service, layout: str, writer: str, share: float) -> None:
    """Let a share of a store's records have a layout of that writer; the others shrink alike."""
    others = [record for record in store.records if record.layout != layout]
    total = sum_left_to_right(record.share for record in others)
    for record in others:
        record.share *= (1.0 - share) / total
    store.records[:] = [*others, RecordSet(layout, writer, share)]


def layout_share(store: Service, layout: str) -> float:
    """Return the share of a store's records with that layout."""
    return sum_left_to_right(record.share for record in store.records if record.layout == layout)


def purge_other_layouts(store: Service) -> None:
    """Delete the records that have another layout than the usual one."""
    kept = [record for record in store.records if record.layout == usual_layout(store)]
    total = sum_left_to_right(record.share for record in kept)
    for record in kept:
        record.share /= total
    store.records[:] = kept
