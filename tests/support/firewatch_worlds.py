"""Firewatch worlds with one chosen fault, and their course without a player."""

from __future__ import annotations

import re

from firewatch_env.engine.service import Service
from firewatch_env.engine.world import World, build
from firewatch_env.evidence.meters import read_all
from firewatch_env.messages import situation
from openenv_kit.bitstream import BitStream

NAMES = {
    "web-gateway", "storefront-api", "edge-mesh", "checkout-api", "service-mesh", "order-api",
    "order-db", "inventory-api",
}  # fmt: skip


def a_world(ticks: int = 30, names: set[str] = NAMES) -> World:
    world = build(names, "web-gateway", BitStream("tests"), -60, 400)
    for service in world.services:
        service.features = {"bulk": 0.6, "quote": 0.3, "feed": 0.1}
    course(world, ticks)
    return world


def course(world: World, ticks: int = 20) -> list[float]:
    harm = []
    for _ in range(ticks):
        world.step()
        harm.append(world.harm)
    return harm


def with_lever(service: str, lever: str, value: float) -> tuple[World, Service]:
    world = a_world(names=NAMES | {"cart-api", "cart-cache", "cart-db"})
    world.set_lever(world.by_name[service], lever, value)
    course(world, 2)
    return world, world.by_name[service]


def situation_of(world: World) -> str:
    return situation(world, read_all(world), {s.name: s.now.memory for s in world.services}, 90, 20)


def by_client(text: str) -> str:
    found = re.search(r"By client [^:]*: ([^.]*)", text)
    return found[1] if found else ""
