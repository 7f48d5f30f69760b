"""Experiment files: documents of Chaos Toolkit, ours with the extension `esq`."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from chaoslib.exceptions import ChaosException
from chaoslib.experiment import ensure_experiment_is_valid
from chaoslib.loader import load_experiment
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chaos.context import MAX_FAULT_SECONDS
from chaos.guard import find_limit, stream_names
from infra.errors import Problem, ProblemsError, UsageError
from runbooks import page
from services.contracts.slo import SLO_BY_ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EXPERIMENTS_DIR = Path(__file__).parent / "experiments"
EXTENSION_NAME = "esq"
_FILE_SUFFIXES = (".json", ".yaml", ".yml")
_MAX_NAME_LENGTH = 60
_RUN_METRICS = ("lost", "duplicated", "failovers", "time_to_full_redundancy")

ClientName = Literal["edge", "kafka", "object-store", "postgres", "redis"]
Limit = Annotated[float, Field(gt=0, le=MAX_FAULT_SECONDS, allow_inf_nan=False)]
"""Seconds. A limit that no fault can exceed, or that nothing can, would be no abort condition."""


class EsqExtension(BaseModel):
    """The extension `esq` of an experiment file.

    Attributes:
        name: name of the extension, which marks it as the one of `esq`.
        runbook: page of `runbooks/` for this incident.
        traffic: clients that run during the experiment.
        runs_unobserved: whether the experiment may run where no traffic can: without guard and measurements.
        edge_timeout_seconds: timeout of a request of the client `edge`.
        campaign_contacts: contacts of the campaign that is sent during the experiment; 0 for no campaign.
        slos: metric by id of the SLO that it measures.
        abort_after_silence_seconds: seconds without acknowledgement after which the run is aborted and
            undone, by client (`kafka`) or stream (`kafka.write`). Covers every stream of the traffic. Also
            limits how long most attempts may fail: see `chaos.error_rate`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["esq"] = "esq"
    runbook: str
    traffic: tuple[ClientName, ...] = Field(min_length=1)
    runs_unobserved: bool = False
    edge_timeout_seconds: float = Field(default=2.0, gt=0, le=30)
    campaign_contacts: int = Field(default=0, ge=0, le=100_000)
    slos: dict[str, str] = Field(default_factory=dict)
    abort_after_silence_seconds: dict[str, Limit]

    @property
    def streams(self) -> list[str]:
        """Names of the watched streams."""
        return stream_names(self.traffic)


NO_EXTENSION = EsqExtension.model_construct(runbook="", traffic=(), abort_after_silence_seconds={})
"""Extension of other people's documents: no traffic, thus no guard and no SLOs."""


class Experiment(BaseModel):
    """An experiment.

    Attributes:
        name: file name without suffix.
        document: content of the file, as Chaos Toolkit reads it.
        extension: the extension `esq`; `NO_EXTENSION` for other people's documents.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    document: dict[str, Any]
    extension: EsqExtension

    @property
    def title(self) -> str:
        """Title, one line."""
        return str(self.document["title"])

    @property
    def description(self) -> str:
        """The fault and the expected behaviour."""
        return str(self.document["description"]).strip()

    @property
    def is_ours(self) -> bool:
        """Whether the document has the extension `esq`."""
        return bool(self.extension.runbook)

    @property
    def is_shipped(self) -> bool:
        """Whether it is an experiment of `chaos/experiments/`, unchanged."""
        if self.name not in names():
            return False
        run_fields = {"dry": None}
        shipped = load_experiment(str(EXPERIMENTS_DIR / f"{self.name}.yaml"), {})
        return bool(self.document | run_fields == shipped | run_fields)

    def has_control(self, module: str) -> bool:
        """Return whether the document has a control of this module; any control may have our name."""
        providers = (control.get("provider") or {} for control in self.document.get("controls") or ())
        return any(provider.get("module") == module for provider in providers)

    @cached_property
    def runbook(self) -> str:
        """Text of the runbook; empty for other people's documents."""
        return page.load(self.extension.runbook).text if self.is_ours else ""


def names() -> list[str]:
    """Return the names of all experiments."""
    return sorted(file.stem for file in EXPERIMENTS_DIR.glob("*.yaml"))


def load(source: str) -> Experiment:
    """Read and validate an experiment.

    Args:
        source: name of an experiment, or path of a document of Chaos Toolkit.

    Returns:
        The experiment.

    Raises:
        UsageError: there is no such experiment.
        ProblemsError: the file is invalid; lists all problems.
    """
    is_path = source.endswith(_FILE_SUFFIXES)
    file = Path(source) if is_path else EXPERIMENTS_DIR / f"{source}.yaml"
    if not file.is_file():
        raise UsageError(
            f"there is no file `{source}`" if is_path else f"there is no experiment `{source}`",
            location="EXPERIMENT",
            remedy=f"Use the path of a document, or one of {', '.join(names())}.",
        )
    try:
        document = load_experiment(str(file), {})
    except ChaosException as error:
        raise UsageError(str(error), location=source, remedy="Correct the file.") from error
    return parse(file.stem, document)


def parse(name: str, document: dict[str, Any], *, is_running: bool = False) -> Experiment:
    """Validate an experiment.

    Args:
        name: name of the experiment.
        document: content of the file.
        is_running: whether Chaos Toolkit runs it, and so has validated it; a second validation would clear
            its cache of activities.

    Returns:
        The experiment.

    Raises:
        ProblemsError: the document is invalid; lists all problems.
    """
    problems: list[Problem] = []
    extension = NO_EXTENSION
    for declared in document.get("extensions") or ():
        if declared.get("name") == EXTENSION_NAME:
            extension, extension_problems = _parse_extension(name, declared)
            problems += extension_problems
    if not is_running:
        problems += _document_problems(name, document)
    if problems:
        raise ProblemsError(f"The experiment `{name}` is invalid", problems)
    return Experiment(name=name, document=document, extension=extension)


def find_name(document: Mapping[str, Any]) -> str:
    """Return the name of a running document, whose file is not known: ours by title, or one of its title."""
    for name in names():
        if load_experiment(str(EXPERIMENTS_DIR / f"{name}.yaml"), {})["title"] == document["title"]:
            return name
    return re.sub(r"[^a-z0-9]+", "-", str(document["title"]).lower()).strip("-")[:_MAX_NAME_LENGTH]


def _document_problems(name: str, document: dict[str, Any]) -> Iterator[Problem]:
    """Yield what Chaos Toolkit finds; it stops at its first problem."""
    try:
        ensure_experiment_is_valid(document)
    except ChaosException as error:
        yield Problem(str(error), name, "Correct the file.")


def _parse_extension(name: str, declared: Mapping[str, Any]) -> tuple[EsqExtension, list[Problem]]:
    """Return the extension and the problems with it."""
    try:
        extension = EsqExtension.model_validate(declared)
    except ValidationError as error:
        return NO_EXTENSION, [
            Problem(
                detail["msg"],
                f"{name}: extensions.{EXTENSION_NAME}.{'.'.join(map(str, detail['loc']))}",
                "Correct the file.",
            )
            for detail in error.errors()
        ]
    return extension, [
        *_reference_problems(name, extension),
        *_limit_problems(name, extension),
        *_metric_problems(name, extension),
    ]


def _reference_problems(name: str, extension: EsqExtension) -> Iterator[Problem]:
    """Yield references to runbooks and SLOs that do not exist."""
    if extension.runbook not in page.names():
        yield Problem(
            f"there is no runbook `{extension.runbook}`",
            f"{name}: runbook",
            f"Write runbooks/{extension.runbook}.md.",
        )
    for slo_id in extension.slos.keys() - SLO_BY_ID.keys():
        yield Problem(f"there is no SLO `{slo_id}`", f"{name}: slos", "Add it to services/contracts/slo.py.")


def _limit_problems(name: str, extension: EsqExtension) -> Iterator[Problem]:
    """Yield limits of streams that do not exist, and streams without a limit."""
    location, limits = f"{name}: abort_after_silence_seconds", extension.abort_after_silence_seconds
    known = [*extension.traffic, *extension.streams]
    for unknown in limits.keys() - set(known):
        yield Problem(f"there is no stream `{unknown}`", location, f"Use {', '.join(known)}.")
    for stream in extension.streams:
        if find_limit(stream, limits) is None:
            yield Problem(
                f"`{stream}` has no limit", location, "Add it: no fault without an abort condition."
            )


def _metric_problems(name: str, extension: EsqExtension) -> Iterator[Problem]:
    """Yield metrics of streams and campaigns that do not exist."""
    sources = [*extension.streams, *(["campaign"] if extension.campaign_contacts else [])]
    for slo_id, metric in extension.slos.items():
        if metric not in _RUN_METRICS and metric.rpartition(".")[0] not in sources:
            yield Problem(
                f"`{metric}` is not measured",
                f"{name}: slos.{slo_id}",
                f"Use {', '.join(_RUN_METRICS)}, or a field of {', '.join(sources)}.",
            )
