"""`esq chaos run` and the hooks of the control, without a cluster: reports, refusals, confirmation."""

from __future__ import annotations

import json
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from chaoslib.types import Dry
from typer.testing import CliRunner

from chaos import experiment, observation, session, watchdog
from chaos.observation import Instruments
from chaos.results import ChaosReport, ExperimentRun
from chaos.session import Setup
from cli.actions import chaos, chaos_target
from cli.actions.alert_detection import Detection, stored_detections
from cli.commands import chaos as command
from cli.environment import Environment, load_environment
from infra.errors import EsqError, UsageError
from infra.measurements.run_values import RunOutcome
from infra.progress import RecordingProgress
from tests.unit.chaos import fake_target
from tests.unit.chaos.fake_target import FakeTarget, FakeTraffic
from tests.unit.chaos.test_control import abort_at_the_end

TOUCH = {"type": "process", "path": "touch"}


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return load_environment("local")


@pytest.fixture(autouse=True)
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeTarget:
    opened = FakeTarget(tmp_path, environment="local")
    instruments = Instruments(
        start_traffic=lambda _, running: FakeTraffic() if running.extension.traffic else None,  # type: ignore[arg-type,return-value]  # a fake
        sample_cluster=lambda _: dict,
        read_leaders=lambda _: {},
    )
    monkeypatch.setattr(chaos, "open_experiment_target", lambda *_: opened)
    monkeypatch.setattr(chaos, "Setup", partial(Setup, instruments=instruments))
    monkeypatch.setattr(observation, "BASELINE_SECONDS", 0.0)
    monkeypatch.setattr(session, "COOLDOWN_SECONDS", 0.0)
    monkeypatch.setattr(watchdog, "start", lambda *_, **__: nullcontext())
    return opened


def write(folder: Path, *method: dict[str, Any], **fields: Any) -> str:
    """Write a document of others; return its path."""
    file = folder / "others.yaml"
    file.write_text(yaml.safe_dump({"title": "t", "description": "d", "method": list(method), **fields}))
    return str(file)


def action(folder: Path, name: str) -> dict[str, Any]:
    return {"type": "action", "name": name, "provider": TOUCH | {"arguments": str(folder / name)}}


def probe(program: str, tolerance: int) -> dict[str, Any]:
    provider = {"type": "process", "path": program}
    return {"type": "probe", "name": program, "tolerance": tolerance, "provider": provider}


def run(
    environment: Environment, source: str, *, runs: int = 1, dry: Dry | None = None
) -> tuple[ChaosReport, Path]:
    return chaos.run_experiment(
        environment,
        source,
        runs=runs,
        confirmed_name=None,
        dry=dry,
        command="esq chaos run",
        progress=RecordingProgress(),
    )


def test_document_of_others_runs_and_is_reported(environment: Environment, tmp_path: Path) -> None:
    report, page = run(environment, write(tmp_path, action(tmp_path, "touched")), runs=2)
    assert (tmp_path / "touched").exists()
    assert [run.outcome for run in report.runs] == [RunOutcome.VALID] * 2
    assert "<html" in page.read_text()
    journal = json.loads((page.parent / "journal-2.json").read_text())
    assert (journal["status"], journal["experiment"]["title"]) == ("completed", "t")
    assert chaos.report_store(environment).read()[0] == report


def test_strategies_of_the_document_are_honoured(environment: Environment, tmp_path: Path) -> None:
    file = Path(write(tmp_path, action(tmp_path, "touched")))
    document = yaml.safe_load(file.read_text()) | {
        "runtime": {"hypothesis": {"strategy": "skip"}, "rollbacks": {"strategy": "never"}},
        "steady-state-hypothesis": {"title": "never", "probes": [probe("false", 0)]},
        "rollbacks": [action(tmp_path, "rolled-back")],
    }
    file.write_text(yaml.safe_dump(document))
    report, _ = run(environment, str(file))
    assert [run.outcome for run in report.runs] == [RunOutcome.VALID]
    assert not (tmp_path / "rolled-back").exists()


def test_control_of_others_with_our_name_does_not_replace_ours(
    environment: Environment, tmp_path: Path
) -> None:
    theirs = {"name": "esq", "provider": {"type": "python", "module": "chaoslib"}}
    report, _ = run(environment, write(tmp_path, action(tmp_path, "touched"), controls=[theirs]))
    assert [run.outcome for run in report.runs] == [RunOutcome.VALID]


def test_run_that_nothing_observed_is_an_error(environment: Environment, tmp_path: Path) -> None:
    provider = {"type": "python", "module": chaos.CONTROL_MODULE, "arguments": {"environment": "local"}}
    disabled = {"name": "esq", "scope": "after", "provider": provider}
    with pytest.raises(EsqError, match="nothing observed it"):
        run(environment, write(tmp_path, action(tmp_path, "touched"), controls=[disabled]))


def test_abort_while_the_experiment_ends_is_reported(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.Session, "finish", abort_at_the_end)
    report, _ = run(environment, write(tmp_path, action(tmp_path, "touched")))
    assert [run.outcome for run in report.runs] == [RunOutcome.ABORTED]


@pytest.mark.parametrize(("pause", "count"), [(None, 2), (1, 0)])
def test_only_an_unchanged_experiment_is_evidence(
    environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pause: int | None, count: int
) -> None:
    stored: list[str] = []
    monkeypatch.setattr(chaos, "record_measurement", lambda _, slo_id, *__: stored.append(slo_id))
    document = yaml.safe_load((experiment.EXPERIMENTS_DIR / "kafka-broker-killed.yaml").read_text())
    document["method"][0]["pauses"]["after"] = pause or document["method"][0]["pauses"]["after"]
    (tmp_path / "kafka-broker-killed.yaml").write_text(yaml.safe_dump(document))
    loaded = experiment.load(str(tmp_path / "kafka-broker-killed.yaml"))
    recorder = chaos.Recorder(environment, loaded, "esq chaos run", lambda _: [])
    recorder.record(ExperimentRun(started_at=0, ended_at=1), {}, {})
    recorder.finish()
    assert len(stored) == count


def test_alerts_of_a_run_are_stored_beside_its_report(environment: Environment) -> None:
    loaded = experiment.load("kafka-broker-killed")
    detection = Detection("KafkaDown", "page", "", 9.0, 4.0)
    recorder = chaos.Recorder(environment, loaded, "esq chaos run", lambda _: [detection])
    recorder.record(ExperimentRun(started_at=0, ended_at=1), {}, {})
    assert stored_detections(recorder.folder.parent) == [
        {**detection.to_dict(), "experiment": "kafka-broker-killed"}
    ]


def test_document_of_others_is_shown(tmp_path: Path) -> None:
    source = write(tmp_path, action(tmp_path, "touched") | {"pauses": {"after": 7}})
    shown = CliRunner().invoke(command.app, ["show", source]).output
    assert f"touch({tmp_path / 'touched'}), then 7 s" in shown
    assert "nothing measures or aborts it" in shown


def test_failed_action_is_kept_as_an_invalid_run(environment: Environment, tmp_path: Path) -> None:
    provider = {"type": "python", "module": fake_target.__name__, "func": "fail"}
    fails = {"type": "action", "name": "fails", "provider": provider}
    report, _ = run(environment, write(tmp_path, fails))
    assert [run.outcome for run in report.runs] == [RunOutcome.INVALID]
    assert chaos.report_store(environment).read()[0].runs == report.runs


def test_refused_experiment_is_an_error_without_a_report(
    environment: Environment, tmp_path: Path, target: FakeTarget
) -> None:
    target.problems = ["redis is down"]
    with pytest.raises(EsqError, match="not in its steady state"):
        run(environment, write(tmp_path, action(tmp_path, "touched")))
    assert not (tmp_path / "touched").exists()
    assert chaos.report_store(environment).names() == []


def test_dry_run_leaves_no_report(environment: Environment, tmp_path: Path) -> None:
    report, log = run(environment, write(tmp_path, action(tmp_path, "touched")), dry=Dry.ACTIONS)
    assert (report.runs, log.name) == ((), "chaostoolkit.log")
    assert not (tmp_path / "touched").exists()
    assert chaos.report_store(environment).names() == []


def test_without_traffic_an_experiment_runs_only_if_it_says_so(target: FakeTarget) -> None:
    target.cluster = None
    loaded = experiment.load("object-store-node-killed")
    loaded = loaded.model_copy(
        update={"extension": loaded.extension.model_copy(update={"traffic": ("object-store",)})}
    )
    with pytest.raises(UsageError, match="no client of `object-store-node-killed` reaches `local`"):
        observation.start_traffic(target, loaded)  # type: ignore[arg-type]  # a fake
    unobserved = loaded.extension.model_copy(update={"runs_unobserved": True})
    allowed = loaded.model_copy(update={"extension": unobserved})
    assert observation.start_traffic(target, allowed) is None  # type: ignore[arg-type]  # same


def test_clients_run_in_pods_and_outside_of_another_cluster(
    target: FakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clients(name: str) -> list[tuple[str, ...]]:
        traffic: Any = observation.start_traffic(target, experiment.load(name))  # type: ignore[arg-type]  # a fake
        return [tuple(part.clients) for part in traffic._parts]

    for name in ("Traffic", "ClusterTraffic"):
        monkeypatch.setattr(observation, name, lambda clients, *_: SimpleNamespace(clients=clients))
    target.cluster = None
    assert clients("redis-flushed") == [("redis",)]
    target.edge_url = "https://campaigns.example"
    assert clients("redis-flushed") == [("redis",), ("edge",)]
    assert clients("zone-isolated") == [("kafka", "postgres", "redis"), ("edge",)]


@pytest.mark.parametrize(
    ("server", "expected"), [("https://10.90.0.10:6443", True), ("https://prod:6443", False)]
)
def test_name_of_the_environment_does_not_prove_an_embedded_cluster(
    tmp_path: Path, server: str, *, expected: bool
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    context = {"name": "local", "context": {"cluster": "local", "user": "local"}}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "local",
        "contexts": [context],
        "clusters": [{"name": "local", "cluster": {"server": server}}],
        "users": [{"name": "local", "user": {}}],
    }
    kubeconfig.write_text(yaml.safe_dump(document))
    cluster = SimpleNamespace(spec=SimpleNamespace(control="10.90.0.10"))
    opened: Any = SimpleNamespace(cluster=cluster, kubeconfig=kubeconfig)
    assert chaos_target.is_embedded(opened) is expected
    assert not chaos_target.is_embedded(SimpleNamespace(cluster=None, kubeconfig=kubeconfig))  # type: ignore[arg-type]  # a stand-in
