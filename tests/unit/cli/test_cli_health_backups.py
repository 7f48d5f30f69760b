"""Troubles of backups are shown, and a deploy does not wait for them."""

from __future__ import annotations

from cli.actions.health import Backups, Health, Service

BROKEN = Backups("drill failed", ("the last drill failed: latest: 3 rows instead of 4",))
AWAY = Service("contacts-api", 0, 2, {})


def test_a_failed_drill_is_a_trouble_and_no_outage() -> None:
    found = Health((), (), BROKEN, (), ())
    assert not found.healthy
    assert found.troubles == ["backups: the last drill failed: latest: 3 rows instead of 4"]
    assert found.outages == []
    assert found.report()["backups"]["troubles"] == list(BROKEN.troubles)


def test_an_outage_is_a_trouble_too() -> None:
    found = Health((), (), Backups("well"), (AWAY,), ())
    assert found.outages == found.troubles == ["contacts-api: 0 of 2 ready in 0 zones"]
