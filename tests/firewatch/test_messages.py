"""What a player is told agrees with itself and with the world."""

from __future__ import annotations

import re
from itertools import pairwise, takewhile

import pytest

from firewatch_env.actions import act
from firewatch_env.engine.levers import family
from firewatch_env.evidence.alerts import CUSTOMERS, fire
from firewatch_env.evidence.logs import lines
from firewatch_env.evidence.meters import by_status, read_all, ways
from firewatch_env.evidence.signs import event
from firewatch_env.messages import situation
from firewatch_env.play import Play
from firewatch_env.policies.reading import MENDS, change_log
from firewatch_env.policies.reference import Engineer
from firewatch_env.tasks.book import find
from firewatch_env.tasks.changes import guilty
from firewatch_env.tasks.named import NAMED
from firewatch_env.tasks.task import TRIGGER
from openenv_kit.bitstream import BitStream
from support.firewatch_worlds import by_client, course, situation_of, with_lever


@pytest.fixture(scope="module", name="plays")
def _plays() -> list[Play]:
    return [Play(find({"task_id": name}), graded=False) for name in NAMED]


def test_the_page_and_the_situation_give_one_share_of_customers(plays: list[Play]) -> None:
    both = [
        (*pages, *re.findall(r"Customers: ([\d.]+)% are let down", play.message))
        for play in plays
        if (pages := re.findall(r" ([\d.]+)% of customers are let down", play.message))
    ]
    assert len(both) > 40
    assert all(page == situation for page, situation in both)


@pytest.mark.parametrize(
    ("service", "lever", "value", "told"),
    [
        ("order-api", "refuse.bulk", 0.5, "403"),
        ("order-api", "path.bulk", 0.5, "502"),
        ("service-mesh", "timeout.order-api", 0.01, "504"),
    ],
)
def test_a_proxy_passes_on_what_its_callees_answer(
    service: str, lever: str, value: float, told: str
) -> None:
    world, _ = with_lever(service, lever, value)
    trace = act(world, "trace_dependencies", "checkout-api", {}).text
    assert re.search(rf"^service-mesh: \d+% of calls fail \({told}\)", trace, re.M), trace


def test_log_lines_of_one_service_count_the_same_requests() -> None:
    world, service = with_lever("order-api", "bots", 0.34)
    world.set_lever(service, "slots", 0.02)
    course(world, 3)
    shares = by_status(service)
    log = "\n".join(lines(world, service))
    counts = [
        int(re.findall(rf"{status} .*\(×([\d,]+) in", log)[0].replace(",", ""))
        for status in ("503", "403")
    ]
    asked = [count / shares[how] for count, how in zip(counts, ("503", "403"), strict=True)]
    assert asked[0] == pytest.approx(asked[1], rel=0.02)


def test_a_share_of_failures_is_the_same_wherever_it_is_told(plays: list[Play]) -> None:
    compared = 0
    for play in plays:
        for service in play.world.services:
            statuses, now = by_status(service), play.meters[service.name]
            detail = act(play.world, "get_metrics_detail", service.name, {}).text
            assert all(f"{how} {share:.0%}" in detail for how, share in statuses.items())
            whole = sum(statuses.values())
            line = re.search(rf"{service.name} \w+ \(([^)]*)\)", play.message)
            if not service.masks and line and (shares := re.findall(_FAILS, line[1])):
                compared += 1
                assert sum(map(int, shares)) / 100 == pytest.approx(whole, abs=0.025)
                assert now.own * (1 - service.now.lost) <= whole + 0.01
            for call in service.calls:
                assert sum(ways(call).values()) == pytest.approx(call.fail, abs=1e-6)
                assert min(ways(call).values()) > -1e-9
    assert compared > 100


_FAILS = r"(?:5xx|403|429|no connection) (\d+)%"


def test_how_bad_a_service_is_agrees_with_its_alerts_and_is_told_with_a_figure(
    plays: list[Play],
) -> None:
    seen = set()
    for play in plays:
        unwell = play.message.rpartition("Unwell: ")[2].rstrip(".")
        for name, severity, why in re.findall(r"([\w-]+) (\w+) \(([^)]*)\)", unwell):
            alerts = [a for a in play.alerts if a["service_name"] == name]
            alerts = [a for a in alerts if a["metric_name"] != "customer_error_ratio"]
            worst = {each["severity"] for each in alerts}
            seen.add(severity)
            assert re.search(r"\d|breaker", why)
            assert severity in ("down", "critical") or worst <= {"warning"}
            failing = sum(map(int, re.findall(r"(?:5xx|403|429|tion|callees|s,) (\d+)%", why)))
            assert severity == "down" or failing < 91
            assert severity != "warning" or failing < 51
        assert unwell == "none" or all("(" in each for each in unwell.split("; "))
    assert seen == {"down", "critical", "warning"}


def test_a_service_without_enough_pods_is_listed_though_nothing_fails() -> None:
    world, _ = with_lever("order-api", "environment", 0.5)
    assert re.search(r"order-api warning \(\d/\d+ pods ready", situation_of(world))


def test_an_alert_tells_since_when_it_has_fired_without_a_break() -> None:
    world, service = with_lever("cart-api", "errors", 0.3)
    since: dict[str, int] = {}

    def fired() -> list[int]:
        course(world, 1)
        alerts = fire(world, since, read_all(world))
        mine = [a for a in alerts if a["alert_id"] == "HighErrorRate-cart-api-own"]
        return [alert["fired_at_tick"] for alert in mine]

    (first,) = fired()
    assert first == world.tick
    assert fired() == [first]
    world.set_lever(service, "errors", 0.0)
    assert fired() == []
    world.set_lever(service, "errors", 0.3)
    assert fired() == [world.tick] != [first]


def test_memory_near_its_limit_is_alerted_first_and_whoever_owns_the_service() -> None:
    world, service = with_lever("order-api", "heap.bulk", 0.3)
    steady = world.by_name["cart-api"]
    steady.memory, service.memory = 0.72, 0.75
    service.alerted = False
    world.step()
    alerts = fire(world, {}, read_all(world))
    assert [(a["service_name"], a["severity"]) for a in alerts] == [
        ("order-api", "critical"), ("cart-api", "warning"),
    ]  # fmt: skip


def test_what_no_release_did_has_a_time_and_a_circumstance(plays: list[Play]) -> None:
    seen = set()
    for play in plays:
        for each in play.task.circumstances[: play.task.faults[1]]:
            service = play.world.by_name[each.service]
            if (found := event(play.world, service, each.lever)) is None:
                assert family(each.lever) in ("tries", "orphans")  # as it has been for long
                continue
            assert found[0] == max(each.tick, play.world.first) or each.value == 1
            at = play.world.clock(found[0])
            log = "\n".join(lines(play.world, service))
            assert re.search(rf"^{at}:\d\d INFO  ops-event: {found[1]}$", log, re.M)
            seen.add(each.lever)
            if each.lever == TRIGGER:
                told = act(play.world, "get_metrics_detail", each.service, {}).text
                assert f"{at} [{found[1]}]" in told
    assert len(seen) > 15


def test_a_class_is_named_by_applications_alone_and_nobody_ships_into_an_outage() -> None:
    java = set()
    for index in range(60):
        play = Play(find({"split": "train", "index": index}), graded=False)
        task, world = play.task, play.world
        for service in world.services:
            java |= {service.kind} if ".java" in str(lines(world, service)) else set()
        first, innocent = task.faults[0], task.puts[task.faults[0] :]
        down = {put.service: put.release.tick for put in task.puts[:first]}
        assert all(put.release.tick < down.get(put.service, 0) for put in innocent)
    assert java == {"app"}


def test_a_configuration_mends_by_a_setting_and_a_database_scores_nothing(
    plays: list[Play],
) -> None:
    fixes = set()
    for play in plays:
        for service in play.world.services:
            text = act(play.world, "inspect_commit_diff", service.name, {}).text
            for entry in change_log(text):
                fixed = [each for each in entry.texts if re.search(MENDS, each)]
                fixes |= {(entry.which, "→" in each) for each in fixed}
    assert fixes == {("rollback_deploy", False), ("revert_config", True)}
    for service, scores in (("order-api", True), ("order-db", False), ("edge-mesh", False)):
        made = guilty(service, "cpu.bulk", 8.0, "build", BitStream("words"), "feed")
        assert ("scored" in made.settings[0].text) == scores


def test_the_last_message_names_what_was_not_needed() -> None:
    play = Play(find({"task_id": "task_easy_alert_fatigue"}))
    entry = play.task.entry
    play.act("restart_service", entry, {})
    play.act("force_ntp_sync", entry, {})
    play.act("declare_resolved", None, {})
    named = f"restart_service {entry} (tick 1); force_ntp_sync {entry} (tick 2, nothing to do)."
    assert play.message.endswith(f"customers no worse off without: {named}")


def test_no_service_fails_more_than_the_worst_of_its_clients(plays: list[Play]) -> None:
    seen, drawn = 0, [find({"split": "validation", "index": index}) for index in range(150)]
    for play in [*plays, *(Play(task, graded=False) for task in drawn)]:
        for service in play.world.services:
            text = act(play.world, "get_metrics_detail", service.name, {}).text
            shares = [int(share) for share in re.findall(r" (\d+)%", by_client(text))]
            own = re.findall(r"(\d+)%", text.partition(".")[0].partition(";")[0])
            seen += len(shares) > 1
            assert not shares or sum(map(int, own)) <= max(shares) + 1, text
    assert seen > 20


def test_a_proxy_that_passes_failures_on_is_listed_with_their_share() -> None:
    world, _ = with_lever("order-api", "errors.bulk", 0.9)
    mesh = world.by_name["service-mesh"]
    share = by_status(mesh)["callees' errors"]
    assert f"service-mesh warning (passed on from callees {share:.0%}" in situation_of(world)


def test_what_an_action_that_finds_nothing_costs_is_what_it_says() -> None:
    play = Play(find({"task_id": "task_easy_alert_fatigue"}))
    entry = play.task.entry
    for action in ("force_ntp_sync", "revert_config", "revert_config"):
        play.act(action, entry, {})
    free = [each["feedback_string"].endswith("not counted") for each in play.history]
    assert free == [False, False, True]
    play.act("declare_resolved", None, {})
    assert play.grade is not None
    assert play.grade.unneeded == 2


def test_an_alert_follows_what_it_is_about_and_a_change_stands_before(plays: list[Play]) -> None:
    later = 0
    for play in plays:
        for service in play.world.services:
            text = act(play.world, "get_metrics_detail", service.name, {}).text
            points = re.findall(r"(\d\d:\d\d) (\[|\d)", text.partition("Own failures: ")[2])
            for one, other in pairwise(points):
                assert one[0] != other[0] or (one[1], other[1]) != ("0", "[")
                assert one[0] != other[0] or one[1] == "[" or other[1] != "["
            fired = re.findall(r"over 5% since (\d\d:\d\d)", text)
            released = [play.world.clock(put.release.tick) for put in play.task.puts]
            later += bool(fired) and fired[0] not in released
    assert later > 40


def test_harm_counts_on_when_the_budget_is_used_up() -> None:
    play = Play(find({"split": "validation", "index": 0}))
    while play.budget:
        play.act("escalate", None, {})
    assert "budget used up, harm counts on" in play.message


def test_memory_that_grew_is_told_with_what_it_was() -> None:
    world, service = with_lever("order-api", "heap.bulk", 0.3)
    then = {each.name: each.now.memory for each in world.services}
    service.memory += 0.2
    world.step()
    text = situation(world, read_all(world), then, 90, 20)
    assert f"memory {then['order-api']:.0%} → {service.now.memory:.0%}" in text


def test_more_changes_than_are_weighed_are_not_named_one_by_one() -> None:
    play = Play(find({"task_id": "task_easy_alert_fatigue"}))
    for number in range(13):
        play.act("scale_replicas", play.task.entry, {"replicas": 4 + number % 2})
    play.act("declare_resolved", None, {})
    assert play.message.endswith("no worse off without: more than 12 changes all count as such.")


def test_what_is_routine_in_logs_and_who_is_no_customer_vary(plays: list[Play]) -> None:
    routine, strangers = set[str](), set[str]()
    for play in plays:
        for service in play.world.services:
            routine |= {line[9:] for line in lines(play.world, service) if "INFO" in line}
            text = act(play.world, "get_metrics_detail", service.name, {}).text
            strangers |= (
                set(re.findall(r"([\w-]+) \d+%", by_client(text))) - play.world.by_name.keys()
            )
    assert len(routine) > 300
    assert len(strangers) >= 5


def test_the_page_says_since_when_customers_have_been_let_down(plays: list[Play]) -> None:
    rang = set[str]()
    for play in plays:
        shares = [each[-1] for each in play.world.history or ()]
        assert shares[-1] == play.world.let_down
        ticks = len(list(takewhile(lambda share: share >= CUSTOMERS, reversed(shares))))
        told = re.search(r"First paged at (\d\d:\d\d)", play.message)
        assert (told[1] if told else "") == (play.world.clock(1 - ticks) if ticks > 1 else "")
        rang |= {told[1]} if told else set()
    assert len(rang) > 20


def test_a_short_outage_stands_between_the_points_of_a_series() -> None:
    world, service = with_lever("order-api", "denied", 0.9)
    world.history = []
    course(world, 3)
    world.set_lever(service, "denied", 0.0)
    course(world, 4)
    text = act(world, "get_metrics_detail", "order-api", {}).text
    assert re.search(r"own failures: none\.[^$]*^Own failures: .* 90%, \d\d:\d\d 0%", text, re.M)


def test_only_a_line_about_one_request_has_an_id() -> None:
    world, _ = with_lever("order-api", "cpu.bulk", 25.0)
    late = [line for line in lines(world, world.by_name["service-mesh"]) if "500 ms" in line]
    assert late
    assert not any("req=" in line for line in late)
    world, service = with_lever("order-api", "errors.bulk", 0.5)
    assert any(".java:" in line and "req=" in line for line in lines(world, service))


def test_a_caller_logs_each_way_in_which_its_calls_fail() -> None:
    world, service = with_lever("order-api", "errors.bulk", 0.5)
    world.set_lever(service, "path.quote", 0.6)
    course(world, 2)
    log = "\n".join(lines(world, world.by_name["service-mesh"]))
    assert "call to order-api failed: 500" in log
    assert "call to order-api failed: no connection" in log


def test_the_number_of_a_release_is_no_status_to_the_reference() -> None:
    detail = (
        "bank-api: own failures: none.\nCPU 20%, memory 40%, pods 4/4 ready, load 1.0x usual, "
        "latency 3 ms as usual.\nOwn failures: 18:44 {}, 18:59 40%, 19:02 0%."
    )
    engineer = Engineer({"message": ""})
    assert engineer._troubles(detail.format("[config r503]")) == []
    assert engineer._troubles(detail.format("").replace("failures: none", "failures: 503 9%"))
