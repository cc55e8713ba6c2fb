"""The page's parts without a browser: charts, drafts, forms, a visitor, what may be shown."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections import Counter
from html import unescape
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from metric_tracker_rl.analysis_tools import TOOLS
from metric_tracker_rl.analysis_tools.arguments import Arguments, Limit
from metric_tracker_rl.engine.reporting_policy import ROW_FIELDS
from metric_tracker_rl.engine.tasks import TASKS
from metric_tracker_rl.page import charts, report
from metric_tracker_rl.page.episode import custom_anomalies, custom_html
from metric_tracker_rl.page.investigate import METHODS, make_field
from metric_tracker_rl.page.state import FunnelVisitor, drafts
from openenv_kit.environment import get_environment
from openenv_kit.errors import ToolArgumentError
from openenv_kit.page import bench, builder, forms, is_on
from openenv_kit.page.same_call import same_call_html
from openenv_kit.page.scenes import scenes_of
from openenv_kit.tools.catalogue import ToolSpec
from openenv_kit.tools.schema import json_schema

FLAGGED = "flagged"
TASK = "hard_mixed_multi"


@pytest.fixture
def visitor() -> FunnelVisitor:
    new = FunnelVisitor()
    new.start(task_id=TASK)
    return new


def expected(visitor: FunnelVisitor) -> list[dict[str, Any]]:
    return [row.as_dict() for row in visitor.view.episode.expected_rows]


def names(figure: Any) -> list[str]:
    return [trace.name for trace in figure.data]


@pytest.mark.slow
def test_the_daily_chart_holds_every_count_of_every_day(visitor: FunnelVisitor) -> None:
    episode = visitor.view.episode
    figure = charts.daily_counts(episode, visitor.day)
    for trace, stage in zip(figure.data, episode.config.funnel_spec.counts, strict=True):
        assert list(trace.y) == episode.daily[stage].tolist()
        assert list(trace.customdata) == list(episode.dates)


def test_the_rate_chart_holds_what_the_tools_show(visitor: FunnelVisitor) -> None:
    episode = visitor.view.episode
    figure = charts.conversion_rates(episode, visitor.day)
    stages = len(episode.config.funnel_spec.counts)
    shown = [list(trace.y) for trace in figure.data]
    assert shown == [[row[stages + at] for row in episode.series.rows] for at in range(len(shown))]


def test_no_chart_marks_anything_before_a_tool_flagged_it(visitor: FunnelVisitor) -> None:
    episode = visitor.view.episode
    for draw in (charts.daily_counts, charts.conversion_rates):
        assert FLAGGED not in names(draw(episode, visitor.day, list(visitor.findings.values())))


def test_points_are_marked_once_a_tool_flagged_them(visitor: FunnelVisitor) -> None:
    generators = [{"method_name": name} for name in report.row_generators.GENERATORS]
    visitor.call("payload_generator", {"generator_methods": generators})
    findings = list(visitor.findings.values())
    marked = {
        str(date)
        for draw in (charts.daily_counts, charts.conversion_rates)
        for trace in draw(visitor.view.episode, visitor.day, findings).data
        if trace.name == FLAGGED
        for date in trace.x
    }
    kinds = ("event_count", "conversion_rate", "funnel_step")
    assert marked == {row["date"] for row in findings if row["entity_type"] in kinds} != set()


def test_weekends_are_shaded_and_the_selected_day_is_marked(visitor: FunnelVisitor) -> None:
    episode = visitor.view.episode
    shapes = charts.daily_counts(episode, visitor.day).layout.shapes
    colours = [shape.fillcolor for shape in shapes]
    assert colours.count(charts.WEEKEND) == 8
    assert colours.count(charts.SELECTED) == 1
    assert shapes[-1].x1 == f"{visitor.day} 12:00"


def test_the_hourly_chart_holds_the_hours_of_the_stage(visitor: FunnelVisitor) -> None:
    episode, day = visitor.view.episode, visitor.view.episode.dates[5]
    heat = charts.hourly_heat(episode, day, "orders_placed").data[0]
    assert list(heat.z[5]) == episode.hourly.loc[day]["orders_placed"].tolist()


def test_every_expected_row_is_offered_by_the_tool_that_shows_it(visitor: FunnelVisitor) -> None:
    takes_name = ("compare_rate_to_median", "compare_count_to_median")
    for task in TASKS:
        visitor.start(task_id=task)
        for row in expected(visitor):
            arguments = {"date": row["date"]}
            if row["detection_method"] in takes_name:
                arguments["entity_name"] = row["entity_name"]
            visitor.call(row["detection_method"], arguments)
            assert row in visitor.offers


def test_what_a_tool_calls_normal_is_not_offered(visitor: FunnelVisitor) -> None:
    busy = {row["date"] for row in expected(visitor)}
    quiet = next(date for date in visitor.view.episode.dates if date not in busy)
    visitor.call("compare_count_to_median", {"date": quiet, "entity_name": "app_opens"})
    assert visitor.result is not None
    assert visitor.result["result"]["anomaly_type"] == "normal"
    assert visitor.offers == []
    assert visitor.findings == {}


def test_a_day_far_from_the_median_is_offered_with_the_tools_values(visitor: FunnelVisitor) -> None:
    arguments = {"metric_name": "app_opens", "threshold": 1.0}
    visitor.call("get_rows_with_abs_diff_from_median_gt", arguments)
    assert visitor.result is not None
    listed = visitor.result["result"]["results"][0]["rows"]
    offered = [(row["date"], row["observed_value"]) for row in visitor.offers]
    assert offered == [(row["date"], row["value"]) for row in listed]
    assert drafts(visitor.view, {"results": []}) == []


def form_of(method: str) -> forms.Form:
    """The form of an analysis method, visible."""
    with gr.Blocks():
        built = forms.build_forms(METHODS, method, make_field)
    (form,) = [form for form in built if method in form.tools]
    return form


@pytest.mark.slow
def test_every_method_has_a_form_with_every_argument_and_shares_it_where_it_can() -> None:
    with gr.Blocks():
        built = forms.build_forms(METHODS, "list_dates", make_field)
    shown = {name: [field.name for field in form.fields] for form in built for name in form.tools}
    assert shown == {name: list(tool.arguments.model_fields) for name, tool in TOOLS.items()}
    assert len(built) == len({tool.arguments for tool in TOOLS.values()})


def test_a_new_tool_gets_its_form_without_a_line_here() -> None:
    class NewArguments(Arguments):
        limit: Limit = 3

    new = ToolSpec("brand_new", "", json_schema(NewArguments), lambda _: {})
    with gr.Blocks():
        built = forms.build_forms([*METHODS, new], "brand_new", make_field)
    (form,) = [form for form in built if "brand_new" in form.tools]
    (field,) = form.fields
    assert isinstance(field.component, gr.Number)
    assert (field.component.value, form.group.visible) == (3, True)
    assert field.component.info == "at least 1; at most 1000"


@pytest.mark.slow
@pytest.mark.parametrize("method", TOOLS)
def test_every_method_runs_from_its_forms_first_values(visitor: FunnelVisitor, method: str) -> None:
    form = form_of(method)
    assert form.group.visible
    values = [
        visitor.day if field.name == "date" else field.component.value for field in form.fields
    ]
    reply = visitor.call(method, form.arguments(values, visitor))
    assert reply.status == "analyzed", reply.message
    assert bench.log_html(visitor).count("<li") == 1


def test_text_that_is_not_json_is_named(visitor: FunnelVisitor) -> None:
    with pytest.raises(ToolArgumentError, match=r"generator_methods is '\[oops'; allowed: JSON"):
        form_of("payload_generator").arguments(["[oops"], visitor)


def test_a_copy_of_a_visitor_is_a_new_visitor(visitor: FunnelVisitor) -> None:
    visitor.add_rows(expected(visitor))
    copied = copy.deepcopy(visitor)
    assert copied.rows == []
    assert copied.session is not visitor.session
    assert copied.session.engine.view is None


def test_a_visitor_who_left_keeps_nothing(visitor: FunnelVisitor) -> None:
    visitor.key_for("https://example.org/v1", "a key")
    visitor.call("list_dates", {})
    visitor.clear()
    assert visitor.key_for("https://example.org/v1", "") == ""
    assert (visitor.log, visitor.rows, visitor.session.engine.view) == ([], [], None)


def test_a_bad_reset_is_told_and_leaves_the_episode(visitor: FunnelVisitor) -> None:
    before = visitor.view
    visitor.start(scenario_family="rate_drop")
    assert "Did you mean 'rate_drop_from_median'" in visitor.problem
    assert visitor.view is before


def test_the_log_tells_what_each_call_cost(visitor: FunnelVisitor) -> None:
    visitor.call("list_dates", {})
    visitor.call("rows_for_date", {"date": "2000-01-01"})
    html = bench.log_html(visitor)
    assert "2 of 64 steps" in html
    assert [entry.status for entry in visitor.log] == ["analyzed", "error"]
    assert f"{visitor.log[0].size:,} characters" in html


def test_the_report_is_validated_without_costing_a_step(visitor: FunnelVisitor) -> None:
    row = expected(visitor)[0]
    visitor.rows = [{**row, "severity": "hgih"}]
    html = report.check_html(visitor)
    assert "0 well formed, 1 not" in html
    assert "Did you mean &#x27;high&#x27;" in html
    assert visitor.session.engine.steps == 0
    visitor.rows = [row]
    assert "1 well formed, 0 not, 0 repeated" in report.check_html(visitor)


def test_nothing_typed_by_a_visitor_becomes_markup(visitor: FunnelVisitor) -> None:
    evil = "<img src=x onerror=alert(1)>"
    visitor.rows = visitor.custom = [dict.fromkeys(ROW_FIELDS, evil)]
    visitor.call(evil, {evil: evil})
    shown = [report.check_html(visitor), bench.log_html(visitor), custom_html(visitor)]
    shown += [
        report.table_html(visitor),
        same_call_html(visitor.environment, visitor.reset, {"x": evil}),
    ]
    shown += [builder.status_html(scenes_of(), visitor)]
    assert [html for html in shown if "<img" in html] == []


def test_custom_anomalies_are_read_from_the_table() -> None:
    first = {"metric_name": "app_opens", "date": "2024-01-01", "stddev_factor": "4"}
    table = [{**first, "direction": "up"}, {"metric_name": ""}, {}, {"metric_name": "m"}]
    assert custom_anomalies(table) == [
        {
            "metric_name": "app_opens",
            "date": "2024-01-01",
            "stddev_factor": 4.0,
            "direction": "up",
        },
        {"metric_name": "m", "date": ""},
    ]


def everything_shown(visitor: FunnelVisitor, show_answers: bool) -> str:
    """All that any handler of the page could send about a visitor, without white space."""
    with gr.Blocks() as blocks:
        page = builder.lay_out(scenes_of(), show_answers, blocks)
    values = [value for view in page.views.values() for value in view.show(visitor)]
    texts = [
        v.to_json() if hasattr(v, "to_json") else v if isinstance(v, str) else repr(v)
        for v in values
    ]
    return "".join(unescape("\n".join(texts)).split())


def answers(visitor: FunnelVisitor) -> list[str]:
    """Texts that give the answer away, without white space."""
    causes = [json.dumps(repr(cause.effect)) for cause in visitor.view.episode.draw.causes]
    rows = [json.dumps(row) for row in expected(visitor)]
    return ["".join(text.split()) for text in ('"anomaly_schedule"', *causes, *rows)]


@pytest.mark.slow
@pytest.mark.parametrize("submits", [False, True])
def test_no_view_holds_an_answer_unless_in_debug(submits: bool) -> None:
    for debug in (False, True):
        visitor = FunnelVisitor(debug=debug)
        visitor.start(task_id=TASK)
        if submits:
            visitor.submit()
        shown = everything_shown(visitor, debug)
        # What is missing is named once nothing can be reported any more.
        assert ("wasexpectedandnotreported" in shown) is submits
        assert [answer in shown for answer in answers(visitor)] == [debug] * len(answers(visitor))


@pytest.mark.slow
def test_the_debug_tab_is_there_in_debug_only() -> None:
    def labels(show_answers: bool) -> list[str]:
        blocks = builder.build_page(scenes_of(), show_answers)
        return [block.label for block in blocks.blocks.values() if isinstance(block, gr.Tab)]

    assert "Debug" not in labels(False)
    assert "Debug" in labels(True)


@pytest.fixture(scope="module")
def handlers() -> list[Any]:
    """Everything that the page does for a visitor outside debug mode."""
    return list(builder.build_page(scenes_of(), False).fns.values())


@pytest.mark.slow
@pytest.mark.parametrize("sent", [None, {}, {"index": 0}, {"value": ["2024-01-01"]}, {"value": 3}])
def test_a_click_that_names_no_day_changes_nothing(
    handlers: list[Any], visitor: FunnelVisitor, sent: Any
) -> None:
    (pick,) = [fn.fn for fn in handlers if any(event == "pick_day" for _, event in fn.targets)]
    assert pick is not None
    first, other = visitor.view.episode.dates[:2]
    pick(visitor, gr.EventData(None, sent))
    assert visitor.day == first
    pick(visitor, gr.EventData(None, {"value": other}))
    assert visitor.day == other


def test_only_three_endpoints_are_public(handlers: list[Any]) -> None:
    assert sorted(fn.api_name for fn in handlers if fn.api_visibility == "public") == [
        "ask",
        "start",
        "submit",
    ]


ROOT = Path(__file__).resolve().parents[2]
LOADED = """
import sys
from server.app import app
rooms = ("openenv_kit.page.", "metric_tracker_rl.page")
ours = sorted(name for name in sys.modules if name.startswith(rooms))
print(ours, "plotly" in sys.modules)
"""


@pytest.mark.slow
def test_the_server_loads_neither_plotly_nor_the_page_when_the_page_is_off() -> None:
    environ = {k: v for k, v in os.environ.items() if k != "ENABLE_WEB_INTERFACE"}
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == "[] False"


def test_the_page_is_on_where_the_framework_would_have_its_own() -> None:
    assert not is_on({})
    assert not is_on({"ENABLE_WEB_INTERFACE": "false"})
    assert is_on({"ENABLE_WEB_INTERFACE": "True"})


@pytest.mark.slow
def test_nothing_outside_the_page_imports_gradio_or_plotly() -> None:
    words = ("import gradio", "from gradio", "import plotly", "from plotly")
    found = [
        str(path.relative_to(ROOT))
        for folder in ("openenv_kit", "metric_tracker_rl", "server")
        for path in (ROOT / folder).rglob("*.py")
        if any(line.strip().startswith(words) for line in path.read_text().splitlines())
    ]
    assert found
    rooms = ("openenv_kit/page/", "metric_tracker_rl/page/")
    assert [path for path in found if not path.startswith(rooms)] == []


@pytest.mark.parametrize("environment", ["metric_tracker_rl", "firewatch"])
def test_the_page_is_one_script_and_defines_no_name_twice(environment: str) -> None:
    script = builder.script_of(scenes_of(get_environment(environment)))
    names = re.findall(r"^(?:async )?(?:function|const|let) +(\w+)", script, re.MULTILINE)
    assert {"openRecording", "choose"} <= set(names)
    assert [name for name, times in Counter(names).items() if times > 1] == []
