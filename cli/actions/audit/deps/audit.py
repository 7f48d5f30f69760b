"""`esq audit deps`: inspects all dependencies; writes the report and an SBOM for each part."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from cli.actions.audit.deps import checks
from cli.actions.audit.deps.advisories import check_advisories
from cli.actions.audit.deps.imports import check_imports
from cli.actions.audit.deps.inventory import PYTHON_PARTS, Component, Part, read_parts
from cli.actions.audit.deps.licences import find_licence
from cli.actions.audit.deps.policy import Policy, load_policy
from cli.actions.audit.deps.report import NOT_CHECKED, AdvisoryReport, DepsReport, PartReport
from cli.actions.audit.deps.sbom import render_sbom
from cli.actions.audit.report_stores import report_store
from infra.measurements.html import render_page
from infra.measurements.measurements import current_commit, host_facts, package_versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.progress import ProgressReporter

_TEMPLATE = Path(__file__).parents[3] / "html" / "audit_deps.html.j2"


def audit_deps(
    advisory_database: Path | None, command: str, progress: ProgressReporter
) -> tuple[DepsReport, Path]:
    """Audit all dependencies.

    Args:
        advisory_database: file or folder with advisories; None to check no vulnerabilities.
        command: command line.
        progress: reports the steps.

    Returns:
        The report and the path of its HTML page, beside the SBOMs.

    Raises:
        UsageError: the extra `audit` is not installed, or the database cannot be read.
    """
    started_at, policy, parts = dt.datetime.now(dt.UTC), load_policy(), read_parts()
    with progress.step("licences"):
        components = dict.fromkeys(component for part in parts for component in part.components)
        licences = {component: find_licence(component, policy.licences.names) for component in components}
    with progress.step("imports"):
        imports = checks.check_imports(check_imports(), policy)
    with progress.step("vulnerabilities") as step:
        advisories, vulnerabilities = _check_advisories(advisory_database, list(components), policy)
        step.set_result(advisories.status)
    megabytes = {part.name: checks.installed_megabytes(part) for part in parts if part.name in PYTHON_PARTS}
    findings = [
        vulnerabilities,
        checks.check_licences(licences, policy),
        imports,
        checks.check_duplicates(parts, policy),
        checks.check_sizes(megabytes, policy),
    ]
    report = DepsReport(
        started_at=started_at.isoformat(timespec="seconds"),
        parts=tuple(_part_report(part, licences, megabytes, policy) for part in parts),
        advisories=advisories,
        violations=tuple(text for item in findings for text in item.violations),
        accepted=tuple(text for item in findings for text in item.accepted),
        duplicates=_duplicates_in_tools(parts),
        command=command,
        commit=current_commit(),
        versions=package_versions(("deptry", "cyclonedx-bom")),
        host=host_facts(),
    )
    store = report_store("deps", DepsReport)
    folder = store.create("deps", started_at)
    for part, part_report in zip(parts, report.parts, strict=True):
        (folder / part_report.sbom).write_text(render_sbom(part, licences), encoding="utf-8")
    return report, store.write(folder, report, render_html(report))


def render_html(report: DepsReport) -> str:
    """Return the HTML page of a report."""
    return render_page(_TEMPLATE, report=report)


def _check_advisories(
    source: Path | None, components: Sequence[Component], policy: Policy
) -> tuple[AdvisoryReport, checks.Findings]:
    if source is None:
        return AdvisoryReport(), checks.Findings()
    database = check_advisories(source, components)
    findings = checks.check_vulnerabilities(database.vulnerabilities, policy)
    unchecked = {component.ecosystem for component in components} - set(database.ecosystems)
    report = AdvisoryReport(
        status="violated" if findings.violations else "met",
        database=str(source),
        modified=database.modified,
        advisories=database.advisories,
        unchecked_ecosystems=tuple(sorted(unchecked)),
        vulnerabilities=(*findings.violations, *findings.accepted),
    )
    return report, findings


def _part_report(
    part: Part, licences: Mapping[Component, str | None], megabytes: Mapping[str, float], policy: Policy
) -> PartReport:
    counts = Counter(licences[component] or NOT_CHECKED for component in part.components)
    return PartReport(
        name=part.name,
        components=len(part.components),
        complete=part.complete,
        licences=dict(counts.most_common()),
        megabytes=megabytes.get(part.name),
        max_megabytes=policy.max_megabytes.get(part.name),
        sbom=f"{part.name.replace(' ', '-')}.cdx.json",
    )


def _duplicates_in_tools(parts: Sequence[Part]) -> dict[str, int]:
    """Return, for each tool, how many packages it has in several versions."""
    counts = {part.name: Counter(component.name for component in part.components) for part in parts}
    several = {name: sum(count > 1 for count in names.values()) for name, names in counts.items()}
    return {name: count for name, count in several.items() if count}
