"""Experiment files: the Chaos Toolkit format with the extension `esq`."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from chaoslib.exceptions import ChaosException
from chaoslib.experiment import ensure_experiment_is_valid
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import Problem, ProblemsError, UsageError
from services.contracts.slo import SLO_BY_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPERIMENTS_DIR = Path(__file__).parent / "experiments"
RUNBOOKS_DIR = Path(__file__).parents[1] / "runbooks"
EXTENSION_NAME = "esq"

ClientName = Literal["edge", "kafka", "object-store", "postgres", "redis"]


class EsqExtension(BaseModel):
    """The extension `esq` of an experiment file.

    Attributes:
        name: name of the extension, which marks it as the one of `esq`.
        runbook: page of `runbooks/` for this incident.
        needs: required access: `zones` if hosts are affected, `kubernetes` if the API server is sufficient.
        traffic: clients that run during the experiment.
        edge_timeout_seconds: timeout of a request of the client `edge`.
        campaign_contacts: contacts of the campaign that is sent during the experiment; 0 for no campaign.
        slos: metric by id of the SLO that it measures.
        abort_after_silence_seconds: seconds without acknowledgement after which the run is aborted and
            undone, by stream.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["esq"] = "esq"
    runbook: str
    needs: Literal["zones", "kubernetes"] = "zones"
    traffic: tuple[ClientName, ...] = ()
    edge_timeout_seconds: float = Field(default=2.0, gt=0, le=30)
    campaign_contacts: int = Field(default=0, ge=0, le=100_000)
    slos: dict[str, str] = Field(default_factory=dict)
    abort_after_silence_seconds: dict[str, float] = Field(default_factory=dict)


class Experiment(BaseModel):
    """An experiment.

    Attributes:
        name: file name without suffix.
        document: content of the file, as Chaos Toolkit reads it.
        extension: the extension `esq`.
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

    @cached_property
    def runbook(self) -> str:
        """Text of the runbook."""
        return (RUNBOOKS_DIR / f"{self.extension.runbook}.md").read_text(encoding="utf-8")


def names() -> list[str]:
    """Return the names of all experiments."""
    return sorted(file.stem for file in EXPERIMENTS_DIR.glob("*.yaml"))


def load(name: str) -> Experiment:
    """Read and validate an experiment.

    Returns:
        The experiment.

    Raises:
        UsageError: there is no experiment of this name.
        ProblemsError: the file is invalid; lists all problems.
    """
    file = EXPERIMENTS_DIR / f"{name}.yaml"
    if not file.is_file():
        raise UsageError(
            f"there is no experiment `{name}`",
            location="EXPERIMENT",
            remedy=f"Use one of {', '.join(names())}.",
        )
    return parse(name, yaml.safe_load(file.read_text(encoding="utf-8")))


def parse(name: str, document: dict[str, Any]) -> Experiment:
    """Validate an experiment.

    Args:
        name: name of the experiment.
        document: content of the file.

    Returns:
        The experiment.

    Raises:
        ProblemsError: the document is invalid; lists all problems.
    """
    problems: list[Problem] = []
    declared = [entry for entry in document.get("extensions", ()) if entry.get("name") == EXTENSION_NAME]
    extension = None
    try:
        extension = EsqExtension.model_validate(declared[0] if declared else {})
    except ValidationError as error:
        problems += [
            Problem(
                detail["msg"],
                f"{name}: extensions.{EXTENSION_NAME}.{'.'.join(map(str, detail['loc']))}",
                "Correct the file.",
            )
            for detail in error.errors()
        ]
    if extension is not None:
        problems += _reference_problems(name, extension)
    try:
        ensure_experiment_is_valid(document)
    except ChaosException as error:
        problems.append(Problem(str(error), name, "Correct the file."))
    if problems or extension is None:
        raise ProblemsError(f"The experiment `{name}` is invalid", problems)
    return Experiment(name=name, document=document, extension=extension)


def _reference_problems(name: str, extension: EsqExtension) -> Iterator[Problem]:
    """Yield references to runbooks and SLOs that do not exist."""
    if not (RUNBOOKS_DIR / f"{extension.runbook}.md").is_file():
        yield Problem(
            f"there is no runbook `{extension.runbook}`",
            f"{name}: runbook",
            f"Write runbooks/{extension.runbook}.md.",
        )
    for slo_id in extension.slos.keys() - SLO_BY_ID.keys():
        yield Problem(f"there is no SLO `{slo_id}`", f"{name}: slos", "Add it to services/contracts/slo.py.")
