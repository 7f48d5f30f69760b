"""Runs of the engine, as `pulumi stack history --json` lists them."""

from __future__ import annotations

import datetime as dt

from cli.actions.deploy_history import parse_run

RUN = {
    "kind": "update",
    "startTime": "2026-11-30T10:00:00.000Z",
    "message": "",
    "environment": {"exec.kind": "auto.inline"},
    "config": {},
    "result": "succeeded",
    "endTime": "2026-11-30T10:00:47.000Z",
    "version": 3,
    "resourceChanges": {"create": 2, "same": 57, "update": 1},
}


def test_run_of_the_engine() -> None:
    run = parse_run("data", RUN)
    assert str(run) == "deploy of data: succeeded, 3 changes"
    assert run.started_at == dt.datetime(2026, 11, 30, 10, tzinfo=dt.UTC)
    assert run.ended_at == dt.datetime(2026, 11, 30, 10, 0, 47, tzinfo=dt.UTC)


def test_run_in_progress_has_no_end() -> None:
    started = {name: RUN[name] for name in ("kind", "startTime", "result")}
    run = parse_run("data", started | {"result": "in-progress", "kind": "destroy"})
    assert (run.command, run.result, run.ended_at, run.changes) == ("destroy", "in-progress", None, 0)
