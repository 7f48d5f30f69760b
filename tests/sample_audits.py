"""Reports of audits with every part, as tests of their pages render them."""

from __future__ import annotations

from collections import Counter

from cli.actions.audit.baseline import audit as baseline
from cli.actions.audit.baseline.processes import ServiceProcess
from cli.actions.audit.baseline.recording import Recording
from cli.actions.audit.baseline.report import BaselineReport, ProcessCost
from cli.actions.audit.baseline.stacks import costliest
from cli.actions.audit.deps import audit as deps
from cli.actions.audit.deps.report import AdvisoryReport, DepsReport, PartReport
from cli.actions.audit.sql import audit as sql
from cli.actions.audit.sql.report import SqlReport, StatementReport

ORIGIN = {
    "started_at": "2026-11-30T10:00:00+00:00",
    "command": "esq audit",
    "commit": "13a1fcc",
    "versions": {"python": "3.11.2", "postgres": "15"},
    "host": {"cores": 2, "memory_gib": 24.0},
}
_PLAN = ("Update ModifyTable on messages", "  Inner Nested Loop", "    Index Scan on messages, messages_pkey")


def sql_page() -> str:
    """Return the page of an SQL audit with a violation, an accepted scan and a plan for all values."""
    statements = tuple(
        StatementReport(
            id=f"campaigns.statement_{number} (largest campaign, running)",
            hot=number % 2 == 0,
            sql="/* statement */ UPDATE messages SET state = $1 WHERE company = $2 AND message_id = ANY($3)",
            calls=7,
            min_ms=22_043.76 / (number + 1),
            max_ms=22_050.0,
            rows=100,
            wal_bytes=49_697,
            blocks=47_552,
            discarded_rows=49_643_043,
            plan=_PLAN,
            plan_for_values=_PLAN[1:] if number == 0 else (),
            accepts="It counts the whole ledger." if number == 1 else "",
            violations=("scans all 9999998 rows of messages", "takes 22043.8 ms, limit 20 ms")
            if number == 0
            else (),
        )
        for number in range(12)
    )
    report = SqlReport(rows=10_000_000, has_committed_plans=False, statements=statements, **ORIGIN)
    return sql.render_html(report)


def deps_page() -> str:
    """Return the page of a dependency audit with violations, and an ecosystem that is not checked."""
    parts = tuple(
        PartReport(
            name=f"tool {number}",
            components=177,
            complete=number > 0,
            licences={"Apache-2.0": 100, "MIT": 70, "not checked": 7},
            megabytes=524.2 if number == 1 else None,
            max_megabytes=700 if number == 1 else None,
            sbom=f"tool-{number}.cdx.json",
        )
        for number in range(13)
    )
    advisories = AdvisoryReport(
        status="violated",
        database="/srv/advisories/all.zip",
        modified="2026-11-29T00:00:00Z",
        advisories=20_000,
        unchecked_ecosystems=("Go", "Maven"),
        vulnerabilities=("flask 2.0.1 has PYSEC-1, CVE-1: Reads any file.; fixed in 2.0.2",),
    )
    report = DepsReport(
        parts=parts,
        advisories=advisories,
        violations=advisories.vulnerabilities,
        accepted=tuple(
            f"package-{number} has the licence LGPL: Used as it is published." for number in range(9)
        ),
        duplicates={"tool garage": 40},
        **ORIGIN,
    )
    return deps.render_html(report)


def baseline_page() -> str:
    """Return the page of a baseline with an increase, and flame graphs of deep and narrow stacks."""
    stacks: Counter[tuple[str, ...]] = Counter(
        {
            tuple(f"function_{depth} (services/kit/module.py)" for depth in range(end)): end
            for end in range(1, 14)
        }
    )
    stacks[("function_0 (services/kit/module.py)", "a (b.py)")] = 40
    names = ("campaigns-api", "campaigns-worker", "whatsapp-dispatcher")
    processes = tuple(
        ProcessCost(
            name=name,
            replicas=2,
            cores=0.123,
            resident_mib=95.4,
            read_bytes=0,
            written_bytes=1_234_567,
            samples=sum(stacks.values()),
            functions=tuple(costliest(stacks, 8)),
            allocated_mib=49.4,
            allocations=tuple(costliest(stacks, 8)),
        )
        for name in names
    )
    report = BaselineReport(
        environment="local",
        scenario="campaigns",
        seconds=60.0,
        processes=processes,
        compared_with="20261129T100000Z-campaigns",
        violations=("campaigns-api: CPU increased from 0.10 to 0.12 cores (+23 %)",),
        **ORIGIN,
    )
    recordings = [Recording(ServiceProcess(name, 1), stacks=stacks) for name in names]
    return baseline.render_html(report, recordings, dict.fromkeys(names, stacks))
