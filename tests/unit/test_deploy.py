"""The files of deploy/: made from THE table, with commands and settings that exist."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bagline.config import Settings, load_settings
from bagline.wiring import LINES
from bagline.worker.run import ROLES

DEPLOY = Path(__file__).parents[2] / "deploy"
MADE: dict[str, str] = runpy.run_path(str(DEPLOY / "make_fleet.py"))["files"]()
WORKERS = {step.name for step in LINES.steps()} | set(ROLES)


@pytest.mark.parametrize("path", MADE)
def test_made_files_are_what_the_table_makes_now(path: str) -> None:
    assert (DEPLOY / path).read_text("utf-8") == MADE[path], "run: python deploy/make_fleet.py"


def manifests() -> Iterator[dict[str, Any]]:
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text("utf-8"))


def deployments() -> dict[str, dict[str, Any]]:
    return {m["metadata"]["labels"]["worker"]: m for m in manifests() if m["kind"] == "Deployment"}


def test_every_stage_is_a_deployment_and_scales_by_its_own_queue() -> None:
    assert set(deployments()) == WORKERS | {"registry"}
    scaled = {
        m["spec"]["scaleTargetRef"]["name"]: m["spec"]["metrics"][0]["external"]["metric"]
        for m in manifests()
        if m["kind"] == "HorizontalPodAutoscaler"
    }
    assert {
        name: metric["selector"]["matchLabels"]["topic"] for name, metric in scaled.items()
    } == {f"bagline-{step.name}": step.topic for step in LINES.steps()}
    assert {metric["name"] for metric in scaled.values()} == {"bagline_queue_depth"}


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_a_worker_is_started_probed_and_held(name: str) -> None:
    spec = deployments()[name]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["args"] == ["worker", name]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert spec["terminationGracePeriodSeconds"] > load_settings(environ={}).work.drain_seconds
    assert spec["securityContext"]["runAsNonRoot"]
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    assert compose["services"][name]["command"] == ["worker", name]


def names_of_settings(kind: type = Settings, prefix: str = "BAGLINE_") -> set[str]:
    found = set()
    for field in kind.__struct_fields__:
        found.add(f"{prefix}{field}".upper())
        value = getattr(kind(), field)
        if hasattr(value, "__struct_fields__"):
            found |= names_of_settings(type(value), f"{prefix}{field}_")
    return found


def test_every_setting_exists() -> None:
    known = names_of_settings()
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    given = {
        name
        for service in compose["services"].values()
        for name in service.get("environment", {})
        if name.startswith("BAGLINE_")
    }
    (settings,) = (m for m in manifests() if m["kind"] == "ConfigMap")
    given |= set(settings["data"])
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    given |= {word.partition("=")[0] for word in dockerfile.split() if word.startswith("BAGLINE_")}
    assert len(given) > 12
    assert given - {"BAGLINE_WORK_DRAIN_SECONDS."} <= known, given - known


def test_compose_has_every_engine_and_no_secret_in_it() -> None:
    text = (DEPLOY / "compose.yaml").read_text("utf-8")
    services = yaml.safe_load(text)["services"]
    engines = {"s3", "redis", "nsqlookupd", "nsqd", "postgres", "registry"}
    assert set(services) == engines | WORKERS
    for line in text.splitlines():
        if any(word in line for word in ("PASSWORD", "SECRET", "_KEY:")):
            assert "${" in line or line.rstrip().endswith(":"), line
