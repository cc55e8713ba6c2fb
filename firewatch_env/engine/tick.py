"""One tick of thirty seconds: what every service gets, how long it takes, and who suffers.

Requests flow from callers to callees with the attempts and the shedding of the tick before;
then answers come back from callees to callers. Only + − × ÷ and comparisons are used, so that a
tick gives the same bytes everywhere.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from firewatch_env.engine.service import Answers, Reading, Service

if TYPE_CHECKING:
    from firewatch_env.engine.world import World

ALLOWED = 0.005  # share of customers that the objective lets down
SECONDS = 30
_GC_FROM = 0.85
_GC_COST = 0.6
_ROOMY = 0.9  # use of CPU or slots up to which nothing waits
_reading = partial(tuple.__new__, Reading)  # a call with twelve arguments takes thrice as long


def tick(world: World) -> None:
    """Let thirty seconds pass; the outcome is in the services and in `world.harm`."""
    now = world.tick = world.tick + 1
    if now in world.changes or now in world.releases or world.moving:
        world.come_due(now)
    demand = world.demand[now - world.first]
    for service in world.services:
        service.clock = now
        load = service.entry * demand
        for call in service.callers:
            load += call.flow
        service.load = load
        passed = load * service.passing
        for call in service.calls:
            call.flow = 0.0 if call.breaker else passed * call.calls * call.attempts
    for service in world.backwards:
        if service.special or not _answer_as_usual(service):
            _answer(service, world)
    bad = whole = 0.0
    for service in world.entries:
        slow = 0.0
        for share, lat in service.answers or ((1.0, service.lat),):
            x = lat / service.slow_after
            slow += share * _beyond(x * x)
        fine = (1 - service.soft - service.hard) * (1 - slow) * service.deg
        bad += service.load * (1 - fine)
        whole += service.load
    share = bad / whole - ALLOWED
    world.harm = share if share > 0 else 0.0
    world.customers = whole


def _beyond(times: float) -> float:
    """Share of requests that take longer than a limit; `times`: their mean to that limit."""
    times *= times
    times *= times
    return times / (1 + times)


def _waited(lat: float, timeout: float) -> tuple[float, float]:
    """Share of calls that run out of time, and seconds waited for one."""
    late = _beyond(lat / timeout)
    return late, lat + (timeout - lat) * late if lat < timeout else timeout


def _by_part(answers: Answers, timeout: float) -> tuple[float, float]:
    """The same where parts differ: a slow zone or pod makes its own requests late, no others."""
    late = spent = 0.0
    for share, lat in answers:
        there, waited = _waited(lat, timeout)
        late += share * there
        spent += share * waited
    return late, spent


def _ask(service: Service) -> tuple[float, float, float]:
    """How a service's calls go: seconds of waiting, and the shares that are fine and fresh."""
    wait = 0.0
    fine = good = 1.0
    for call in service.calls:
        callee = call.callee
        many = call.calls if call.calls < 1 else 1.0
        if call.breaker:
            good *= 1 - many * call.weight
            call.attempts, call.fail, call.late = 1.0, 0.0, 0.0
            continue
        if callee.answers:
            late, spent = _by_part(callee.answers, call.timeout)
        else:
            late, spent = _waited(callee.lat, call.timeout)
        # What can be mended by trying again, unlike an exception or a refusal.
        again = callee.soft + (1 - callee.soft - callee.hard) * late
        fail = callee.hard + again
        attempts = 1.0
        if again > 1e-6:
            for _ in range(call.tries - 1):
                attempts = 1 + again * attempts
                fail = callee.hard + again * fail
        call.fail, call.late = fail, late
        wait += call.calls * attempts * spent
        call.attempts = 1.0 if call.pace else attempts
        share = call.calls * fail
        if share > 1:
            share = 1.0
        if call.optional:
            good *= 1 - share * call.weight
        else:
            fine *= 1 - share
        if callee.deg < 1:
            good *= 1 - many * (1 - callee.deg)
    return wait, fine, good


def cpu_of_request(service: Service) -> float:
    """CPU seconds of a request, with work for callers that have given up."""
    late = 0.0
    for call in service.callers:
        if call.late > late:
            late = call.late
    return service.cpu * (1 + service.orphans * late)


def _answer_as_usual(service: Service) -> bool:
    """The same as `_answer`, in less time, where there is room for every request.

    Returns:
        Whether it was so; if not, nothing has been changed but the service's calls.
    """
    part = service.parts[0]
    used = (service.memory + service.heap + part.fill) / service.memory_limit
    if part.down or part.roll or part.renew or used > _GC_FROM:
        return False
    load, cpu, err = service.load, service.cpu, service.err
    use = load * cpu / service.cores
    if use > _ROOMY:
        return False
    wait, fine, good = _ask(service)
    hold = service.base + cpu / (1 - use) + wait
    busy = load * hold
    if busy > _ROOMY * service.slots:
        return False
    service.soft, service.passing, service.answers = 0.0, 1.0, ()
    service.deg, service.lat = good, hold
    well = 1 - err
    service.hard = 1 - well * fine
    own = err if service.masks else 1 - well * fine
    service.now = _reading((own, err, 0.0, 0.0, 0.0, 0.0, hold, hold, use, used, busy, load))
    return True


def _answer(service: Service, world: World) -> None:
    """How requests to a service end, given how its callees answered in this tick."""
    wait, fine, good = _ask(service)
    load = service.load
    cpu = cpu_of_request(service) if service.orphans else service.cpu
    limited = 1 - service.limit / load if service.limit and load > service.limit else 0.0
    lost = service.path
    admitted = load * (1 - lost) * (1 - limited)
    answers: Answers = ()
    passed = err = lat = tail = use = memory = busy = shed = 0.0
    parts = service.parts
    if len(parts) == 1:
        live = 0.0 if parts[0].down else 1.0
    else:
        live = 0.0
        for part in parts:
            live += part.weight if part.down == 0 else 0.0
    for part in parts:
        if part.down:
            part.down -= 1
            continue
        # What killed pods would have got goes to the others.
        weight = part.weight / live if live > 0 else 0.0
        arriving, arrives = admitted * weight, weight
        if part.lost:
            arriving *= 1 - part.lost
            arrives *= 1 - part.lost
            lost += weight * part.lost * (1 - service.path)
        there = part.share
        if part.roll:
            there *= 0.75
            part.roll -= 1
        if part.renew:
            part.fill *= (part.renew - 1) / part.renew
            part.renew -= 1
        power = service.cores * there
        if part.steal:
            power *= 1 - part.steal
        used = (service.memory + service.heap + part.fill) / service.memory_limit
        if used > _GC_FROM:
            gc = (used - _GC_FROM) / (1 - _GC_FROM) * _GC_COST
            power *= 1 - (gc if gc < 0.9 else 0.9)
        room = power / cpu
        share = arriving / room if room > 0 else 9.0
        in_cpu = share if share < 0.9 else 0.9
        hold = service.base + cpu / (1 - in_cpu) + wait
        if share > 1:
            passed += arrives / share
            share = 1.0
        else:
            passed += arrives
        use += weight * share
        part.use, part.shed = share, 0.0
        slots = service.slots * there / hold
        if slots < room:
            room = slots
        ratio = arriving / room if room > 0 else 99.0
        taken = arriving * hold
        if ratio > 0.95:
            queued = (ratio - 0.95) * 10 * service.queue
            if queued > service.queue:
                queued = service.queue
            if ratio > 1:
                refused = part.shed = 1 - 1 / ratio
                shed += arrives * refused
                taken = arriving * (1 - refused) * hold
            taken += arriving * queued
            hold += queued
        busy += taken
        lat += weight * hold
        answers += ((weight, hold),)
        if hold > tail:
            tail = hold
        if part.err:
            err += weight * part.err
        if used > memory:
            memory = used
        if service.grow:
            grown = service.grow * arriving / (service.usual_load * part.share)
            grown += part.fill
            part.fill = grown if grown < service.grow_cap else service.grow_cap
        if used >= 1:
            part.down, part.fill = 2, 0.0
            world.killed = service.killed = world.tick
    if live == 0:
        # Nothing reports any more: meters stay at what they showed last.
        shed, memory, use = 1.0, service.now.memory, service.now.use
    if service.kind == "job":
        good *= _keep_up(service, admitted)
    kept = (1 - service.refuse) * (1 - limited)
    own = 1 - (1 - service.err) * (1 - err)
    soft = 1 - (1 - lost) * (1 - shed)
    service.soft = soft = soft if soft < 1 else 1.0
    service.hard = (1 - soft) * (1 - kept * (1 - own) * fine)
    service.deg = good
    service.lat = lat
    service.answers = answers if len(answers) > 1 else ()
    # What full slots shed has asked callees already: were it not counted, a slow callee would
    # be left alone in every other tick.
    service.passing = (1 - service.path) * kept * passed
    below = 0.0 if service.masks else 1 - fine
    service.now = _reading(
        (
            1 - (1 - shed) * (1 - kept * (1 - (1 - own) * (1 - below))),
            1 - (1 - soft) * kept * (1 - own),
            service.refuse,
            limited,
            lost,
            shed,
            lat,
            tail,
            use,
            memory,
            busy,
            load,
        )
    )


def _keep_up(service: Service, arriving: float) -> float:
    """Share of readers that find a pipeline's output fresh enough."""
    able = service.cores / service.cpu * service.stalled
    service.backlog += (arriving - able) * SECONDS
    if service.backlog < 0:
        service.backlog = 0.0
    lag = service.backlog / (service.usual_load + 1e-9) / 240
    return 1 - 0.8 * _beyond(lag)
