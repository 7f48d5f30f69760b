"""Report of an audit of the dependencies."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

NOT_CHECKED = "not checked"
"""Status of what could not be compared with anything; never `met`."""


class PartReport(BaseModel):
    """A part that is delivered together.

    Attributes:
        name: its name.
        components: number of its packages.
        complete: whether all of its packages are known.
        licences: number of packages by licence; `not checked` for those that are not on this machine.
        megabytes: installed size; None for tools, and without a package that is not installed here.
        max_megabytes: its limit; None without one.
        sbom: file name of its SBOM, beside the report.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    components: int
    complete: bool
    licences: dict[str, int]
    megabytes: float | None
    max_megabytes: float | None
    sbom: str


class AdvisoryReport(BaseModel):
    """The comparison with known vulnerabilities.

    Attributes:
        status: `not checked` without a database, else `met` or `violated`.
        database: path of the database; empty without one.
        modified: time of its last change: it knows nothing later.
        advisories: number of its advisories.
        unchecked_ecosystems: ecosystems of our components that it has no advisories for.
        vulnerabilities: a line for each vulnerability, with the reason if it is accepted.
    """

    model_config = ConfigDict(frozen=True)

    status: str = NOT_CHECKED
    database: str = ""
    modified: str = ""
    advisories: int = 0
    unchecked_ecosystems: tuple[str, ...] = ()
    vulnerabilities: tuple[str, ...] = ()


class DepsReport(BaseModel):
    """Report of an audit of the dependencies.

    Attributes:
        started_at: start of the audit (ISO 8601, UTC).
        parts: the parts.
        advisories: known vulnerabilities.
        violations: what the policy does not accept.
        accepted: exceptions of the policy that were used, with their reasons.
        duplicates: several versions within a tool; its authors decide them.
        command: command line.
        commit: commit of the code.
        versions: versions of the software.
        host: facts of the machine.
    """

    model_config = ConfigDict(frozen=True)

    started_at: str
    parts: tuple[PartReport, ...]
    advisories: AdvisoryReport
    violations: tuple[str, ...]
    accepted: tuple[str, ...]
    duplicates: dict[str, int]
    command: str
    commit: str
    versions: dict[str, str]
    host: dict[str, str | float]
