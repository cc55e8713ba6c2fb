"""Checks of what is written down: manifest, image, dependencies, declarations."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from openenv.validation.policy import load_policy

from validation.check_context import (
    ROOT,
    VALIDATION_POLICY_VERSION,
    CheckContext,
    Measurements,
    SkippedError,
    register_check,
    require,
)


@register_check("static.manifest")
def _check_manifest(context: CheckContext) -> Measurements:
    return {"name": context.manifest.name, "environment": context.environment.name}


@register_check("static.image_hygiene")
def _check_image_stages(_: CheckContext) -> Measurements:
    stages = len(re.findall(r"^FROM ", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    require(stages >= 2, "the Dockerfile has one stage")
    return {"stages": stages}


@register_check("static.layout")
def _check_package_files(context: CheckContext) -> Measurements:
    package = sys.modules[type(context.environment).__module__.partition(".")[0]]
    inside = [each for each in Path(str(package.__file__)).parent.rglob("*") if each.is_file()]
    archives = [each.name for each in inside if each.suffix in (".zip", ".gz", ".tar", ".whl")]
    require(not archives, f"archives in the package: {archives}")
    return {"files": len(inside)}


@register_check("static.sbom")
def _check_sbom(_: CheckContext) -> Measurements:
    made = subprocess.run(
        ["uv", "export", "--frozen", "--offline", "--no-dev", "--format", "cyclonedx1.5", "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if made.returncode:
        raise SkippedError(f"uv makes no CycloneDX file here: {made.stderr.strip()[:200]}")
    bill = json.loads(made.stdout)
    require(bill["bomFormat"] == "CycloneDX", "not CycloneDX")
    bare = [each["name"] for each in bill["components"] if not each.get("version")]
    require(bill["components"] and not bare, f"components without a version: {bare}")
    return {"spec": bill["specVersion"], "components": len(bill["components"])}


@register_check("static.oci_labels")
def _check_image_labels(_: CheckContext) -> Measurements:
    text = (ROOT / "Dockerfile").read_text()
    found = sorted(set(re.findall(r"org\.opencontainers\.image\.(\w+)=", text)))
    missing = {"title", "description", "licenses"} - set(found)
    require(not missing, f"no label org.opencontainers.image.{', '.join(sorted(missing))}")
    return {"labels": found}


@register_check("static.resource_declaration")
def _check_declared_resources(context: CheckContext) -> Measurements:
    declared: dict[str, Any] = context.manifest.resources.model_dump()
    missing = [name for name in ("cpu", "memory_mb", "disk_mb") if not declared.get(name)]
    require(not missing, f"not declared: {missing}")
    return declared


@register_check("static.timeout_ceiling")
def _check_episode_timeout(context: CheckContext) -> Measurements:
    most = load_policy(VALIDATION_POLICY_VERSION).bounds.max_episode_timeout_s
    declared = context.manifest.resources.episode_timeout_s
    require(declared and declared <= most, f"{declared} s are declared; allowed: at most {most}")
    return {"episode_timeout_s": declared}


@register_check("static.dependency_pinning")
def _check_dependency_pinning(_: CheckContext) -> Measurements:
    lines = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    wanted = [line for line in lines if "==" in line]
    bare = [line.split()[0] for line in wanted if "--hash=sha256:" not in line]
    require(wanted and not bare, f"without a hash: {bare}")
    images = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    loose = sorted({image for image in images if "@sha256:" not in image})
    require(not loose, f"every dependency has its hash; base image without a digest: {loose}")
    return {"dependencies": len(wanted)}


@register_check("static.task_distribution_pinning")
@register_check("runtime.task_declaration_accuracy")
def _check_task_declaration(context: CheckContext) -> Measurements:
    declared = context.manifest.capabilities.declared_task_count
    splits = context.environment.splits
    real = {
        name: splits.size(name) for name in splits.names() if name in declared or name != "sealed"
    }
    require(declared == real, f"declared {declared}, and there are {real}")
    return real
