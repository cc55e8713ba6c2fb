"""Analysis methods that run row generators, with one method for each and one for several."""

from __future__ import annotations

from collections.abc import Sequence

from metric_tracker_rl.analysis_tools.arguments import (
    GeneratedRowsArguments,
    MetricRowsArguments,
    PayloadRowsArguments,
    SeriesRowsArguments,
)
from metric_tracker_rl.analysis_tools.registry import TOOLS, MethodResult, cache_results_in_episode
from metric_tracker_rl.analysis_tools.row_generators import (
    GENERATORS_BY_NAME,
    RowGenerator,
    build_analysis_method_name,
    run_and_merge_row_generators,
    run_row_generator,
)
from metric_tracker_rl.engine.definitions.report_row import ReportRow
from metric_tracker_rl.engine.episode.episode_view import EpisodeView
from openenv_kit.tool import Tool


@TOOLS.tool(PayloadRowsArguments, name="payload_generator")
def run_row_generators_and_list_merged_rows(
    view: EpisodeView, arguments: PayloadRowsArguments
) -> MethodResult:
    """Run several row generators and merge their rows, without submitting them."""
    rows, summaries = run_and_merge_row_generators(view, arguments.generator_methods)
    return {
        "generator_methods": [method.model_dump() for method in arguments.generator_methods],
        "generated_row_count": len(rows),
        **_build_result_with_first_rows(rows, summaries, arguments),
    }


def _build_result_with_first_rows(
    rows: Sequence[ReportRow], details: list[MethodResult], arguments: GeneratedRowsArguments
) -> MethodResult:
    """Return result fields with the first `limit` generated rows and with the details.

    The list of details is empty if the arguments do not request them.
    """
    return {
        "generated_rows": [row.as_dict() for row in rows[: arguments.limit]],
        "details": details if arguments.details else [],
    }


def _build_tool_that_runs_row_generator(generator: RowGenerator) -> Tool:
    """Return the analysis method that runs one row generator."""

    def run(
        view: EpisodeView, arguments: MetricRowsArguments | SeriesRowsArguments
    ) -> MethodResult:
        metric_name: str | None = None
        metric_names: Sequence[str] = ()
        if isinstance(arguments, MetricRowsArguments):
            metric_name = arguments.metric_name
            metric_names = arguments.metric_names
        rows, details = run_row_generator(
            view,
            generator,
            metric_name=metric_name,
            metric_names=metric_names,
            min_std_devs_from_median=arguments.threshold_multiplier,
            dates=arguments.dates,
        )
        result: MethodResult = {"method_name": generator.name}
        if generator.has_metric_arguments:
            result["metric_names"] = [detail["entity_name"] for detail in details]
        return {
            **result,
            "threshold_multiplier": arguments.threshold_multiplier,
            "match_count": len(rows),
            **_build_result_with_first_rows(rows, details, arguments),
        }

    return Tool(
        build_analysis_method_name(generator.name),
        generator.description,
        MetricRowsArguments if generator.has_metric_arguments else SeriesRowsArguments,
        cache_results_in_episode(run),
        vocabulary=TOOLS.vocabulary,
    )


for _generator in GENERATORS_BY_NAME.values():
    TOOLS.add(_build_tool_that_runs_row_generator(_generator))
