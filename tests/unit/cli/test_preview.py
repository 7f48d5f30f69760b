"""Preview of a deploy where nothing runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from cli.actions.deployment_target import ZONE_TOOLS, open_target
from cli.actions.preview import preview
from cli.environment import load_environment
from cli.main import run
from infra.progress import RecordingProgress
from infra.stack_settings import Layer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return tmp_path


def test_preview_without_a_cluster_names_what_a_deploy_would_do(state: Path) -> None:
    progress = RecordingProgress()
    result = preview(load_environment("local"), load_environment("local").layers, progress)
    assert result.layers is None
    (tools,) = [text for text in result.preparations if text.startswith("build tools: ")]
    assert set(tools.removeprefix("build tools: ").split(", ")) == set(ZONE_TOOLS)
    assert result.preparations[-1] == "start the cluster `local`"
    assert progress.steps == []
    assert not (state / "cache" / "esq" / "images").exists()


def test_preview_of_the_observability_layer_names_its_tools() -> None:
    result = preview(load_environment("local"), [Layer.OBSERVABILITY], RecordingProgress())
    (tools,) = [text for text in result.preparations if text.startswith("build tools: ")]
    assert {"victoria-metrics", "victoria-logs"} <= set(tools.removeprefix("build tools: ").split(", "))


def test_observability_layer_is_no_part_of_a_deploy_unless_it_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Layer.OBSERVABILITY not in load_environment("local").layers
    monkeypatch.setenv("ESQ_LOCAL_OBSERVABILITY", "true")
    assert load_environment("local").layers == tuple(Layer)


def test_preview_refuses_an_unknown_layer() -> None:
    assert run(["preview", "local", "--layer", "servces"]) == 2


def test_without_the_tools_of_images_nothing_fails(capsys: pytest.CaptureFixture[str], state: Path) -> None:
    target = open_target(load_environment("local"), RecordingProgress())
    assert target.find_images(("postgres", "services")) == {"postgres": None, "services": None}
    assert run(["images", "list", "local", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["images"]
    assert all(row["missing_tools"] == ["garage", "kafka"] and not row["built"] for row in rows)
    outdated = state / "cache" / "esq" / "toolchain" / "etcd-1.0-000000000001"
    outdated.mkdir(parents=True)
    assert run(["cache", "prune"]) == 0
    assert "images were not checked: garage and kafka" in capsys.readouterr().out
    assert not outdated.exists()
