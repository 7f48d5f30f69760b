"""`esq env`, the JSON schema of definitions, and the kubeconfig of a context."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from cli.actions import credentials, environments
from cli.actions.deployment_target import open_target
from cli.actions.offsite_store import offsite_store_access
from cli.environment import load_environment
from cli.main import run
from infra.credentials import RotationPhase
from infra.environment_record import EnvironmentRecord
from infra.errors import EsqError, ProblemsError, UsageError
from infra.progress import RecordingProgress
from infra.sizes import PROFILES
from tests.unit.cli.definitions import write_definition

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ESQ_ENVIRONMENTS_DIR", str(tmp_path))
    for name in ("KEY_ID", "KEY_SECRET"):
        monkeypatch.delenv(f"ESQ_OFFSITE_STORE_{name}", raising=False)
    return tmp_path


def test_committed_schema_is_current() -> None:
    committed = (PROJECT / environments.SCHEMA).read_text()
    assert committed == environments.schema_text(), "refresh it: ./esq generate"


def test_schema_offers_every_size_and_no_embedded_cluster() -> None:
    fields = json.loads(environments.schema_text())["properties"]
    assert set(fields["sizes"]["properties"]) == {"profile", *PROFILES["local"].model_dump()}
    assert fields["cluster"]["$ref"] == "#/$defs/ExistingCluster"


def test_template_is_a_valid_definition_once_it_is_filled_in(folder: Path) -> None:
    write_definition(folder, "other")
    file = environments.write_template("staging")
    text = file.read_text()
    assert text.startswith("# yaml-language-server: $schema=../")
    file.write_text(
        text.replace("~/.kube/config", "kubeconfig").replace("sha256:DIGEST", "sha256:" + "0" * 64)
    )
    definition = load_environment("staging").definition
    assert definition.existing_cluster is not None
    assert definition.existing_cluster.context == "staging"


def test_untouched_template_is_refused() -> None:
    environments.write_template("staging")
    with pytest.raises(ProblemsError) as error:
        load_environment("staging")
    assert "images.kafka" in error.value.detail


@pytest.mark.parametrize("name", ["local", "staging"])
def test_init_overwrites_nothing(folder: Path, name: str) -> None:
    file = write_definition(folder, "staging")
    content = file.read_text()
    with pytest.raises(UsageError, match="exists"):
        environments.write_template(name)
    assert file.read_text() == content


def test_list_names_invalid_definitions_and_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_definition(folder, "staging", zones=["a"])
    write_definition(folder, "prod", backend="s3://bucket")
    assert run(["env", "list", "--json"]) == 1
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)["environments"]}
    assert list(listed) == ["local", "prod", "staging"]
    assert listed["local"]["cluster"] == "embedded"
    assert listed["prod"]["backend"] == "s3://bucket"
    assert "staging.yaml: zones" in listed["staging"]["problems"][0]
    assert run(["env", "list"]) == 1
    assert "invalid" in capsys.readouterr().out


def test_show_prints_the_effective_definition(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["env", "show", "local"]) == 0
    output = capsys.readouterr().out
    assert "cluster: embedded" in output
    assert "not deployed from here" in output


def test_environment_has_the_context_of_its_definition_only(folder: Path) -> None:
    write_definition(folder, "staging")
    target = open_target(load_environment("staging"), RecordingProgress())
    assert stat.S_IMODE(target.kubeconfig.stat().st_mode) == 0o600
    document = yaml.safe_load(target.kubeconfig.read_text())
    assert document["current-context"] == "staging"
    assert [entry["cluster"]["server"] for entry in document["clusters"]] == ["https://one.example"]
    (user,) = document["users"]
    assert user["user"] == {"client-certificate": str(folder / "admin.crt"), "client-key": "/etc/admin.key"}


def test_each_cluster_has_a_kubeconfig_of_its_own(folder: Path) -> None:
    write_definition(folder, "staging")
    first = open_target(load_environment("staging"), RecordingProgress()).kubeconfig
    content = first.read_text()
    write_definition(folder, "staging", cluster={"kubeconfig": "kubeconfig", "context": "other"})
    assert open_target(load_environment("staging"), RecordingProgress()).kubeconfig != first
    assert first.read_text() == content


def test_unknown_context_names_the_known_ones(folder: Path) -> None:
    write_definition(folder, "staging", cluster={"kubeconfig": "kubeconfig", "context": "stagin"})
    with pytest.raises(UsageError, match="no context") as error:
        open_target(load_environment("staging"), RecordingProgress())
    assert "Did you mean `staging`?" in error.value.remedy


def test_key_of_the_offsite_store_is_kept_until_the_store_leaves_the_definition(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "ca.pem").write_text("PEM")
    store = {"url": "https://s3.example", "region": "eu", "bucket": "backups", "ca_certificate": "ca.pem"}
    write_definition(folder, "staging", offsite_store=store)
    environment = load_environment("staging")
    with pytest.raises(UsageError, match="access key"):
        offsite_store_access(environment, None)
    monkeypatch.setenv("ESQ_OFFSITE_STORE_KEY_ID", "id")
    monkeypatch.setenv("ESQ_OFFSITE_STORE_KEY_SECRET", "secret")
    first = offsite_store_access(environment, None)
    assert first is not None
    assert (first.key_id, first.key_secret, first.ca_certificate) == ("id", "secret", "PEM")
    monkeypatch.delenv("ESQ_OFFSITE_STORE_KEY_ID")
    with pytest.raises(UsageError, match="access key"):
        offsite_store_access(environment, first)
    monkeypatch.delenv("ESQ_OFFSITE_STORE_KEY_SECRET")
    assert offsite_store_access(environment, first) == first
    write_definition(folder, "staging")
    assert offsite_store_access(load_environment("staging"), first) is None


@pytest.mark.parametrize(
    ("rotation", "notice"),
    [
        (RotationPhase.USE, "in phase use: continue it with `esq credentials rotate local --yes`"),
        (None, "record of the last deploy"),
    ],
)
def test_show_names_the_phase_of_a_rotation(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rotation: RotationPhase | None,
    notice: str,
) -> None:
    environment = load_environment("local")
    environment.save_record(
        EnvironmentRecord(
            environment="local", backend="file:///x", cluster_uid="one", offsite_store=None, version="1"
        )
    )
    stored = SimpleNamespace(credentials=SimpleNamespace(rotation=rotation))
    store = SimpleNamespace(read=lambda: stored)
    monkeypatch.setattr(credentials, "_open_store", lambda *_: store)
    assert run(["env", "show", "local"]) == 0
    assert notice in capsys.readouterr().out
    assert run(["env", "show", "local", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rotation"] == rotation


def test_show_works_without_the_key_of_the_credentials(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise EsqError("the passphrase of `local` is not on this machine")

    environment = load_environment("local")
    environment.save_record(
        EnvironmentRecord(
            environment="local", backend="file:///x", cluster_uid="one", offsite_store=None, version="1"
        )
    )
    monkeypatch.setattr(credentials, "_open_store", refuse)
    assert run(["env", "show", "local"]) == 0
    assert "unknown: the passphrase of `local` is not on this machine" in capsys.readouterr().out
