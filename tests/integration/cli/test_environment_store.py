"""The store of credentials on a real file backend; a second machine is a second state folder."""

from __future__ import annotations

import base64
import json
import os
import shutil
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
import pytest

from cli.actions import credentials as credentials_action
from cli.actions.credentials_rotation import run_phases
from cli.engine_results import PassphraseError
from cli.environment import load_environment
from cli.environment_store import EnvironmentStore, StoredEnvironment
from cli.pulumi_engine import PulumiEngine
from infra.credentials import Credentials, RotationPhase, complete_credentials
from infra.environment_definition import LOCAL_DEFINITION, PASSPHRASE
from infra.environment_record import EnvironmentRecord
from infra.errors import EsqError, ProblemsError, UsageError
from infra.progress import RecordedStep, RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        shutil.which("pulumi") is None, reason="pulumi is not built; run `esq toolchain build`"
    ),
    # The SDK leaves pipes of its event server to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

STEP = RecordedStep("store")
RECORD = EnvironmentRecord(
    environment="local", backend="file:///b", cluster_uid="1", offsite_store=None, version="0.1.0"
)


class Machine:
    """A machine that deploys the environment `local` to a shared backend."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, secrets_provider: str = PASSPHRASE
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(folder))
        environment = load_environment("local")
        definition = {
            "backend": (folder.parent / "backend").as_uri(),
            "secrets_provider": secrets_provider,
        }
        self.environment = replace(environment, definition=LOCAL_DEFINITION.model_copy(update=definition))
        self.engine = PulumiEngine(self.environment, path=os.environ["PATH"], kubeconfig=folder / "none")
        self.store = EnvironmentStore(self.engine)
        self.passphrase = self.environment.folder / "passphrase"


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for variable in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(variable, raising=False)
    return Machine(tmp_path / "first", monkeypatch)


@pytest.fixture
def second(first: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:  # noqa: ARG001 - the order matters
    return Machine(tmp_path / "second", monkeypatch)


@pytest.fixture(scope="module")
def stored() -> StoredEnvironment:
    return StoredEnvironment(record=RECORD, credentials=complete_credentials())


def test_variable_of_another_project_is_no_passphrase(
    first: Machine, second: Machine, stored: StoredEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "of another project")
    first.store.save(stored, expected=None, step=STEP)
    assert first.passphrase.is_file()
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "")
    with pytest.raises(PassphraseError, match="is not on this machine"):
        second.store.load()
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(first.passphrase))
    assert second.store.load() == stored


def layer_program() -> None:
    pulumi.export("namespaces", [])


def test_credentials_are_created_once_and_secret(
    first: Machine, stored: StoredEnvironment, tmp_path: Path
) -> None:
    assert first.store.load() is None
    assert not first.passphrase.exists()
    first.store.save(stored, expected=None, step=STEP)
    assert first.store.load() == stored
    another = stored.model_copy(update={"credentials": complete_credentials()})
    with pytest.raises(EsqError, match="another run has changed the credentials") as error:
        first.store.save(another, expected=None, step=STEP)
    assert "Nothing was overwritten" in error.value.remedy
    assert first.store.load() == stored
    renewed = stored.model_copy(update={"record": RECORD.model_copy(update={"version": "0.2.0"})})
    first.store.save(renewed, expected=stored, step=STEP)
    assert first.store.load() == renewed
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert b"0.2.0" in content
    assert stored.credentials.application.token_key.encode() not in content
    first.store.remove(STEP)
    assert first.store.load() is None


def test_second_machine_needs_the_passphrase_and_never_makes_its_own(
    first: Machine, second: Machine, stored: StoredEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.store.save(stored, expected=None, step=STEP)
    with pytest.raises(PassphraseError, match="is not on this machine") as error:
        second.store.load()
    assert str(second.passphrase) == error.value.location
    assert "PULUMI_CONFIG_PASSPHRASE_FILE" in error.value.remedy
    assert not second.passphrase.exists()
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "of another project")
    with pytest.raises(PassphraseError, match="encrypted with another passphrase"):
        second.store.load()
    assert first.store.load() == stored, "the file has precedence over a variable of the shell"
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE_FILE", str(first.passphrase))
    assert second.store.load() == stored
    monkeypatch.delenv("PULUMI_CONFIG_PASSPHRASE_FILE")
    shutil.copy(first.passphrase, second.passphrase)
    assert second.store.load() == stored
    renewed = stored.model_copy(update={"credentials": complete_credentials()})
    second.store.save(renewed, expected=stored, step=STEP)
    assert first.store.load() == renewed


def test_no_command_line_contains_a_credential(first: Machine, stored: StoredEnvironment) -> None:
    finished = threading.Event()
    seen: set[str] = set()

    def watch() -> None:
        while not finished.wait(0.01):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(file.read_text(errors="replace"))
                except OSError:
                    continue

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        first.store.save(stored, expected=None, step=STEP)
        first.store.load()
    finally:
        finished.set()
        watcher.join()
    assert any("local-environment" in line for line in seen), "the engine was not seen"
    secrets = (stored.credentials.application.token_key, "PRIVATE KEY")
    assert not [line for line in seen if any(secret in line for secret in secrets)]


def test_lost_credentials_are_an_error_until_they_are_imported(
    first: Machine, stored: StoredEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first.store.save(stored, expected=None, step=STEP)
    monkeypatch.setattr(credentials_action, "_open_store", lambda *_: first.store)
    export = tmp_path / "export.json"
    progress = RecordingProgress()
    credentials_action.write_export(
        credentials_action.export_credentials(first.environment, progress), export
    )
    assert export.stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="File exists"):
        credentials_action.write_export("", export)
    first.engine.up("data", layer_program, STEP)
    first.store.remove(STEP)
    with pytest.raises(EsqError, match=r"is deployed \(data\), but its credentials are lost") as error:
        first.store.load()
    assert "esq credentials import local FILE" in error.value.remedy
    assert credentials_action.import_credentials(first.environment, export, progress)
    assert first.store.require().credentials == stored.credentials
    assert not credentials_action.import_credentials(first.environment, export, progress)
    export.write_text(Credentials().model_dump_json())
    with pytest.raises(EsqError, match="`local` has other credentials"):
        credentials_action.import_credentials(first.environment, export, progress)
    assert first.store.require().credentials == stored.credentials


def test_import_names_all_problems_of_a_file_and_no_value(first: Machine, tmp_path: Path) -> None:
    file = tmp_path / "export.json"
    file.write_text('{"redis": {"password": ["test-password"]}, "kafka": {"unknown": "test-password"}}')
    with pytest.raises(ProblemsError) as error:
        credentials_action.import_credentials(first.environment, file, RecordingProgress())
    assert {problem.location for problem in error.value.problems} == {"redis.password", "kafka.unknown"}
    assert "test-password" not in error.value.detail


class KeyService(BaseHTTPRequestHandler):
    """The part of the API of AWS KMS that the engine uses."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        sent = base64.b64decode(body["Plaintext" if operation == "Encrypt" else "CiphertextBlob"])
        changed = base64.b64encode(bytes(byte ^ 0x55 for byte in sent)).decode()
        field = "CiphertextBlob" if operation == "Encrypt" else "Plaintext"
        answer = json.dumps({"KeyId": "key", field: changed}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def key_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a key in a key service on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), KeyService) as server:
        threading.Thread(target=server.serve_forever).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield "awskms:///alias/esq?region=eu-central-1"
        server.shutdown()


def test_key_of_a_service_encrypts_the_credentials_for_every_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: StoredEnvironment, key_service: str
) -> None:
    first = Machine(tmp_path / "first", monkeypatch, secrets_provider=key_service)
    first.store.save(stored, expected=None, step=STEP)
    second = Machine(tmp_path / "second", monkeypatch, secrets_provider=key_service)
    assert second.store.load() == stored
    assert not first.passphrase.exists()
    assert not second.passphrase.exists()
    content = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert key_service.encode() in content
    assert stored.credentials.application.token_key.encode() not in content


def test_credentials_outlive_the_layers(first: Machine, stored: StoredEnvironment) -> None:
    first.store.save(stored, expected=None, step=STEP)
    first.engine.up("data", layer_program, STEP)
    first.engine.destroy("data", STEP)
    assert first.store.require() == stored


class KilledError(BaseException):
    """The process was killed."""


def test_an_interrupted_rotation_is_continued_by_another_machine(
    first: Machine, second: Machine, stored: StoredEnvironment
) -> None:
    first.store.save(stored, expected=None, step=STEP)
    second.environment.folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(first.passphrase, second.passphrase)
    deployed: list[RotationPhase | None] = []

    def deploy() -> None:
        deployed.append(second.store.require().credentials.rotation)
        if len(deployed) == 2:
            raise KilledError

    with pytest.raises(KilledError):
        run_phases("local", first.store, deploy, RecordingProgress())
    result = run_phases("local", second.store, deploy, RecordingProgress())
    accept, use, retire = RotationPhase
    assert deployed == [accept, use, use, retire]
    assert result.phases == (use, retire)
    assert first.store.require().credentials.accepted[0].generation == "b"
    assert first.store.require().record == RECORD
