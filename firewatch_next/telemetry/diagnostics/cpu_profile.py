"""CPU profile of a service: frames by share, and CPU time of a request by version."""

from __future__ import annotations

from firewatch_next.simulation.metrics import Label
from firewatch_next.simulation.service import Service
from firewatch_next.telemetry.diagnostics.report import Report
from firewatch_next.telemetry.limits import Table, format_figure, format_ratio
from firewatch_next.telemetry.noise import add_noise
from firewatch_next.telemetry.view import TelemetryView
from openenv_kit.float_sum import sum_left_to_right

_FRAMES = (
    ("decode_request", 0.24),
    ("handle_request", 0.22),
    ("encode_response", 0.18),
    ("client_write", 0.12),
    ("allocate", 0.08),
)
_OWN_FRAMES = (
    "match_rules", "normalize_items", "compare_versions", "expand_template", "compress_body",
    "validate_schema", "sort_candidates", "merge_results",
)  # fmt: skip
_NOISE = 0.03
_USUAL_OWN_SHARE = 0.04


def show_cpu_profile(view: TelemetryView, service: Service) -> Report:
    """Show frames, most CPU first. Extra CPU of a build is in one of its own functions."""
    pods = sum_left_to_right(group.pods for group in service.groups) or 1
    factor = (
        sum_left_to_right(group.cpu_factor * group.pods for group in service.groups) / pods or 1.0
    )
    shares = [(f"{service.name.split('-')[0]}.{name}", share / factor) for name, share in _FRAMES]
    own = view.draws("frames", service.name).shuffled_copy(_OWN_FRAMES)
    extra = 1.0 - 1.0 / factor
    for number, name in enumerate(own[:3]):
        share = _USUAL_OWN_SHARE / factor + (extra if number == 0 else 0.0)
        shares.append((f"{service.name.split('-')[0]}.{name}", share))
    gc = view.newest("gc_share", service.name)
    shares = [(name, share * (1.0 - gc)) for name, share in shares]
    if service.is_managed:
        shares.append(("runtime.gc", 0.02 + gc))
    rows = []
    for name, share in shares:
        key = f"{view.task_key}/{service.name}/cpu_profile/{name}"
        rows.append((name, add_noise(share, _NOISE, key, view.tick)))
    rows.sort(key=lambda row: -row[1])
    frames = [(name, format_ratio(share)) for name, share in rows]
    versions = [
        (version, format_figure(value))
        for version, value in view.newest_by(
            "cpu_ms_per_request", service.name, Label.VERSION
        ).items()
    ]
    use = view.newest("cpu_utilization", service.name)
    milliseconds = view.newest("cpu_ms_per_request", service.name)
    headline = (
        f"cpu {format_ratio(use)} of {service.cpu_cores:g} cores per pod, "
        f"{format_figure(milliseconds)} ms per request, top {frames[0][0]} {frames[0][1]}"
    )
    return Report(
        headline,
        (
            Table(("version", "cpu_ms_per_request"), versions),
            Table(("frame", "cpu_share"), frames),
        ),
    )
