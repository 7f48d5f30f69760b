"""When a deploy is recognised as unchanged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.client.exceptions import ApiException

from cli.actions import unchanged_deploy
from cli.engine_results import StackResult
from infra.credentials import complete_credentials
from infra.environment_definition import LOCAL_DEFINITION
from infra.environment_record import EnvironmentRecord
from infra.stack_settings import Layer, StackSettings

if TYPE_CHECKING:
    from pathlib import Path

RECORD = EnvironmentRecord(
    environment="local", backend="file:///x", cluster_uid="one", offsite_store=None, version="1"
)
SETTINGS = StackSettings(environment="local", layer=Layer.CLUSTER, **LOCAL_DEFINITION.platform_settings)
RESULT = StackResult("cluster", (), {"create": 2, "same": 1, "delete": 5})


class Deployment:
    """A project with one program, and a cluster whose objects have a digest."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.program = folder / "project" / "stacks" / "data.py"
        self.program.parent.mkdir(parents=True)
        self.program.write_text("first")
        self.engine = folder / "pulumi"
        self.engine.touch()
        self.objects: str | Exception = "as deployed"
        self.target: Any = SimpleNamespace(
            environment=SimpleNamespace(folder=folder),
            kubeconfig=folder,
            current_record=RECORD,
            tools=SimpleNamespace(path=lambda _: self.engine),
        )
        monkeypatch.setattr(unchanged_deploy, "_PROJECT", folder / "project")
        monkeypatch.setattr(unchanged_deploy, "objects_digest", lambda _: self.find_objects())

    def find_objects(self) -> str:
        if isinstance(self.objects, Exception):
            raise self.objects
        return self.objects

    def remember(self) -> None:
        unchanged_deploy.remember(self.target, [SETTINGS], [RESULT])

    def unchanged(self, settings: StackSettings = SETTINGS) -> list[StackResult] | None:
        return unchanged_deploy.unchanged_layers(self.target, [settings])


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    return Deployment(tmp_path, monkeypatch)


def test_same_inputs_and_same_objects_are_unchanged(deployment: Deployment) -> None:
    assert deployment.unchanged() is None, "nothing is known before a complete deploy"
    deployment.remember()
    assert deployment.unchanged() == [StackResult("cluster", (), {"same": 3})]


def test_drift_is_left_to_the_engine(deployment: Deployment) -> None:
    deployment.remember()
    deployment.objects = "changed by hand"
    assert deployment.unchanged() is None


@pytest.mark.parametrize("change", ["settings", "credentials", "program", "tool", "cluster"])
def test_changed_input_is_left_to_the_engine(deployment: Deployment, change: str) -> None:
    settings = SETTINGS.model_copy(update={"credentials": complete_credentials()})
    unchanged_deploy.remember(deployment.target, [settings], [RESULT])
    assert deployment.unchanged(settings)
    if change == "settings":
        settings = settings.model_copy(update={"zones": ("zone-a",)})
    if change == "credentials":
        settings = settings.model_copy(update={"credentials": complete_credentials()})
    if change == "program":
        deployment.program.write_text("second")
    if change == "tool":
        deployment.engine = deployment.engine.with_name("other")
        deployment.engine.touch()
    if change == "cluster":
        deployment.target.current_record = RECORD.model_copy(update={"cluster_uid": "two"})
    assert deployment.unchanged(settings) is None


def test_run_that_starts_to_change_something_forgets_the_last_one(deployment: Deployment) -> None:
    deployment.remember()
    unchanged_deploy.forget(deployment.target.environment)
    assert deployment.unchanged() is None
    unchanged_deploy.forget(deployment.target.environment)


def test_account_that_may_not_list_everything_has_the_engine_find_out(deployment: Deployment) -> None:
    deployment.objects = ApiException(status=403)
    deployment.remember()
    assert deployment.unchanged() is None
    deployment.objects = "as deployed"
    assert deployment.unchanged() is None, "nothing was remembered"


def test_file_of_another_version_is_ignored(deployment: Deployment) -> None:
    deployment.remember()
    (deployment.target.environment.folder / "complete-deploy.json").write_text("{}")
    assert deployment.unchanged() is None
