"""Experiments as they are written: Chaos Toolkit's form, and what the extension `esq` adds to it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from chaoslib.exceptions import ChaosException
from chaoslib.experiment import ensure_experiment_is_valid
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.errors import Problem, ProblemsError, UsageError
from services.contracts.promises import BY_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent / "experiments"
RUNBOOKS = Path(__file__).parents[1] / "runbooks"
EXTENSION = "esq"

ClientName = Literal["edge", "kafka", "objects", "postgres", "redis"]


class Addition(BaseModel):
    """What an experiment says besides Chaos Toolkit's own words.

    Attributes:
        runbook: what to do when this happens for real: a page of `runbooks/`.
        needs: `zones` when machines are hurt, `kubernetes` when the API server is enough.
        traffic: clients that are at work meanwhile.
        campaign: contacts that a campaign is sent to meanwhile; 0 for none.
        promises: metric by the id of the promise that it is evidence for.
        blast: seconds of silence of a lane after which the run is ended and undone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["esq"] = "esq"
    runbook: str
    needs: Literal["zones", "kubernetes"] = "zones"
    traffic: tuple[ClientName, ...] = ()
    campaign: int = Field(default=0, ge=0, le=100_000)
    promises: dict[str, str] = Field(default_factory=dict)
    blast: dict[str, float] = Field(default_factory=dict)


class Experiment(BaseModel):
    """An experiment.

    Attributes:
        name: of its file.
        document: as Chaos Toolkit takes it.
        addition: what ours adds.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    document: dict[str, Any]
    addition: Addition

    @property
    def title(self) -> str:
        """One line."""
        return str(self.document["title"])

    @property
    def description(self) -> str:
        """What happens, and what is expected."""
        return str(self.document["description"]).strip()

    @cached_property
    def runbook(self) -> str:
        """The text of its runbook."""
        return (RUNBOOKS / f"{self.addition.runbook}.md").read_text(encoding="utf-8")


def names() -> list[str]:
    """Return the names of all experiments."""
    return sorted(file.stem for file in FOLDER.glob("*.yaml"))


def load(name: str) -> Experiment:
    """Read and check an experiment.

    Raises:
        UsageError: there is none of that name.
        ProblemsError: it cannot be run as it is written; all reasons at once.
    """
    file = FOLDER / f"{name}.yaml"
    if not file.is_file():
        raise UsageError(
            f"no experiment is called `{name}`", location="EXPERIMENT", remedy=f"One of {', '.join(names())}."
        )
    return parse(name, yaml.safe_load(file.read_text(encoding="utf-8")))


def parse(name: str, document: dict[str, Any]) -> Experiment:
    """Check an experiment.

    Raises:
        ProblemsError: it cannot be run as it is written; all reasons at once.
    """
    problems: list[Problem] = []
    own = [each for each in document.get("extensions", ()) if each.get("name") == EXTENSION]
    addition = None
    try:
        addition = Addition.model_validate(own[0] if own else {})
    except ValidationError as error:
        problems += [
            Problem(
                each["msg"],
                f"{name}: extensions.{EXTENSION}.{'.'.join(map(str, each['loc']))}",
                "Correct the file.",
            )
            for each in error.errors()
        ]
    if addition is not None:
        problems += _wrong(name, addition)
    try:
        ensure_experiment_is_valid(document)
    except ChaosException as error:
        problems.append(Problem(str(error), name, "Correct the file."))
    if problems or addition is None:
        raise ProblemsError(f"The experiment `{name}` cannot be run as it is written", problems)
    return Experiment(name=name, document=document, addition=addition)


def _wrong(name: str, addition: Addition) -> Iterator[Problem]:
    if not (RUNBOOKS / f"{addition.runbook}.md").is_file():
        yield Problem(
            f"no such runbook: {addition.runbook}",
            f"{name}: runbook",
            f"Write runbooks/{addition.runbook}.md.",
        )
    for promise in addition.promises.keys() - BY_ID.keys():
        yield Problem(
            f"no such promise: {promise}", f"{name}: promises", "Add it to services/contracts/promises.py."
        )
