"""Checks of files and declarations: manifest, image, dependencies, tasks."""

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
    require(stages >= 2, f"the Dockerfile has {stages} stage; required: at least 2")
    return {"stages": stages}


@register_check("static.layout")
def _check_package_files(context: CheckContext) -> Measurements:
    package = sys.modules[type(context.environment).__module__.partition(".")[0]]
    files = [path for path in Path(str(package.__file__)).parent.rglob("*") if path.is_file()]
    archives = [path.name for path in files if path.suffix in (".zip", ".gz", ".tar", ".whl")]
    require(not archives, f"the package contains archives: {archives}")
    return {"files": len(files)}


@register_check("static.sbom")
def _check_sbom(_: CheckContext) -> Measurements:
    export = subprocess.run(
        ["uv", "export", "--frozen", "--offline", "--no-dev", "--format", "cyclonedx1.5", "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if export.returncode:
        raise SkippedError(f"uv cannot export CycloneDX here: {export.stderr.strip()[:200]}")
    sbom = json.loads(export.stdout)
    require(
        sbom["bomFormat"] == "CycloneDX", f"the format is {sbom['bomFormat']}; required: CycloneDX"
    )
    unversioned = [item["name"] for item in sbom["components"] if not item.get("version")]
    require(sbom["components"] and not unversioned, f"components without a version: {unversioned}")
    return {"spec": sbom["specVersion"], "components": len(sbom["components"])}


@register_check("static.oci_labels")
def _check_image_labels(_: CheckContext) -> Measurements:
    text = (ROOT / "Dockerfile").read_text()
    labels = sorted(set(re.findall(r"org\.opencontainers\.image\.(\w+)=", text)))
    missing = {"title", "description", "licenses"} - set(labels)
    require(not missing, f"missing labels: org.opencontainers.image.{', '.join(sorted(missing))}")
    return {"labels": labels}


@register_check("static.resource_declaration")
def _check_declared_resources(context: CheckContext) -> Measurements:
    declared: dict[str, Any] = context.manifest.resources.model_dump()
    missing = [name for name in ("cpu", "memory_mb", "disk_mb") if not declared.get(name)]
    require(not missing, f"the manifest does not declare {missing}")
    return declared


@register_check("static.timeout_ceiling")
def _check_episode_timeout(context: CheckContext) -> Measurements:
    max_timeout_s = load_policy(VALIDATION_POLICY_VERSION).bounds.max_episode_timeout_s
    declared = context.manifest.resources.episode_timeout_s
    require(
        declared and declared <= max_timeout_s,
        f"the manifest declares {declared} s; allowed: at most {max_timeout_s} s",
    )
    return {"episode_timeout_s": declared}


@register_check("static.dependency_pinning")
def _check_dependency_pinning(_: CheckContext) -> Measurements:
    lines = (ROOT / "requirements.lock").read_text().replace("\\\n", " ").splitlines()
    pinned = [line for line in lines if "==" in line]
    unhashed = [line.split()[0] for line in pinned if "--hash=sha256:" not in line]
    require(pinned and not unhashed, f"dependencies without a hash: {unhashed}")
    images = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    images_without_digest = sorted({image for image in images if "@sha256:" not in image})
    require(
        not images_without_digest,
        f"every dependency has a hash; base images without a digest: {images_without_digest}",
    )
    return {"dependencies": len(pinned)}


@register_check("static.task_distribution_pinning")
@register_check("runtime.task_declaration_accuracy")
def _check_task_declaration(context: CheckContext) -> Measurements:
    declared = context.manifest.capabilities.declared_task_count
    splits = context.environment.splits
    sizes = {
        name: splits.size(name)
        for name in splits.list_playable_split_names()
        if name in declared or name != "sealed"
    }
    require(declared == sizes, f"the manifest declares {declared}; the splits have {sizes}")
    return sizes
