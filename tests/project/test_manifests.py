"""Kubernetes manifests: settings, limits and probes."""

from __future__ import annotations

import pytest
import yaml
from prometheus_client import REGISTRY

import openenv_kit.serving.metrics  # noqa: F401  (registers the metrics)
from openenv_kit.serving.settings import Settings
from support.paths import ROOT

MIB = 1 << 20


FIELDS = Settings.model_fields


def test_the_manifests_name_only_settings_that_exist_and_run_restricted() -> None:
    text = (ROOT / "deploy" / "kubernetes" / "metric-tracker.yaml").read_text()
    manifests = {each["kind"]: each for each in yaml.safe_load_all(text)}
    kinds = {"Deployment", "Service", "HorizontalPodAutoscaler", "NetworkPolicy"}
    kinds |= {"PodDisruptionBudget"}
    assert set(manifests) == kinds
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    named = {each["name"] for each in container["env"]}
    assert named <= {field.validation_alias for field in FIELDS.values()}
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert manifests["Service"]["spec"]["sessionAffinity"] == "ClientIP"
    (metric,) = manifests["HorizontalPodAutoscaler"]["spec"]["metrics"]
    families = {family.name for family in REGISTRY.collect()}
    assert metric["pods"]["metric"]["name"] in families


@pytest.mark.slow
def test_the_manifest_s_store_fits_its_volume_and_its_probes_ask_the_right_questions() -> None:
    text = (ROOT / "deploy" / "kubernetes" / "metric-tracker.yaml").read_text()
    (deployment,) = (each for each in yaml.safe_load_all(text) if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (volume,) = pod["volumes"]
    size = volume["emptyDir"]["sizeLimit"]
    assert size.endswith("Mi")
    set_here = {each["name"]: each.get("value") for each in container["env"]}
    quota = int(set_here["OPENENV_KIT_MAX_STORE_BYTES"])
    # As much again is for uploads and other temporary files.
    assert 2 * quota <= int(size[:-2]) * MIB
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    for probe in ("livenessProbe", "startupProbe"):
        assert container[probe]["httpGet"]["path"] == "/health"


@pytest.mark.slow
def test_the_store_s_default_size_fits_the_volume_that_the_image_is_checked_with() -> None:
    script = (ROOT / "validation" / "read_only_container").read_text()
    assert "--tmpfs /tmp:rw,size=64m" in script
    assert 2 * Settings().max_store_bytes <= 64 * MIB
    assert "/health" in (ROOT / "Dockerfile").read_text()


def test_kubernetes_lets_only_the_monitoring_namespace_read_metrics() -> None:
    text = (ROOT / "deploy" / "kubernetes" / "metric-tracker.yaml").read_text()
    manifests = {each["kind"]: each for each in yaml.safe_load_all(text)}
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 8000, "metrics": Settings().metrics_port}
    served = {port["targetPort"] for port in manifests["Service"]["spec"]["ports"]}
    assert served == {"http"}
    open_to_all, closed = manifests["NetworkPolicy"]["spec"]["ingress"]
    assert open_to_all == {"ports": [{"port": "http"}]}
    assert closed["ports"] == [{"port": "metrics"}]
    assert closed["from"]
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]
    assert manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels["labels"]
    assert labels["annotations"]["prometheus.io/port"] == str(ports["metrics"])
