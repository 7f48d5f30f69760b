"""`esq backup`: what is refused before anything is touched, and what is done in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cli import main
from cli.actions import backup, restore
from infra.errors import EsqError, UsageError
from infra.progress import RecordingProgress

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("backup", "restore", "local"), "--to latest"),
        (("backup", "restore", "local", "--to", "latest", "--remove"), "--to latest"),
        (("backup", "restore", "local", "--to", "latest", "--in-place"), "--confirm local"),
        (
            ("backup", "restore", "local", "--to", "latest", "--in-place", "--confirm", "prod"),
            "--confirm local",
        ),
        (("backup", "restore", "local", "--to", "latest", "--in-place", "--json"), "--confirm local"),
        (("backup", "rebuild", "local"), "--yes"),
    ],
)
def test_nothing_is_done_that_was_not_meant(
    words: tuple[str, ...], remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(words) == 2
    assert remedy in capsys.readouterr().err


class FakePlatform:
    """Remembers what was done to it."""

    def __init__(self, wish: dict[str, str] | None = None, fail: str = "") -> None:
        self.done: list[str] = []
        self.ground: Any = type("Ground", (), {"environment": None})()
        self._wish = wish
        self._fail = fail

    def _do(self, what: str) -> None:
        if what == self._fail:
            raise EsqError(f"{what} failed")
        self.done.append(what)

    def wish(self) -> dict[str, str] | None:
        return self._wish

    def wish_for(self, wish: str, arguments: tuple[str, ...]) -> None:
        self._do(f"wish for {wish}")
        self._wish = {"wish": wish, "arguments": "\n".join(arguments)}

    def forget(self) -> None:
        self._do("forget the wish")
        self._wish = None

    def scale(self, replicas: int) -> None:
        self._do(f"services {replicas}")

    def scale_postgres(self, replicas: int) -> None:
        self._do(f"postgres {replicas}")

    def await_gone(self, _step: object, what: str, _left: Callable[[], list[str]]) -> None:
        self._do(f"{what} gone")

    def clear(self, _step: object) -> None:
        self._do("clear")

    def await_postgres(self, _step: object) -> None:
        self._do("postgres well")


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakePlatform], FakePlatform]:
    """Puts a fake in the place of the cluster."""

    def install(fake: FakePlatform) -> FakePlatform:
        def take(_ground: object, _step: object, *, full: bool) -> dict[str, Any]:
            fake._do("full backup" if full else "last backup")
            return {"backups": [{"label": "L1"}]}

        choice = backup.selection.Choice(None, ("--type=time",))
        well = type("Well", (), {"summary": "all well"})()
        monkeypatch.setattr(restore, "Platform", lambda _: fake)
        monkeypatch.setattr(backup, "ground_of", lambda *_: fake.ground)
        monkeypatch.setattr(backup, "take", take)
        monkeypatch.setattr(backup, "chosen", lambda *_: choice)
        monkeypatch.setattr(restore, "wait_until_well", lambda *_: well)
        return fake

    return install


class Environment:
    """As much of one as messages need."""

    name = "local"


def in_place(wish: str = "2026-05-01") -> dict[str, Any]:
    return restore.in_place(Environment(), wish, RecordingProgress())  # type: ignore[arg-type] # its name is enough


def test_what_is_there_is_saved_before_anything_is_cleared(
    platform: Callable[[FakePlatform], FakePlatform],
) -> None:
    fake = platform(FakePlatform())
    assert in_place()["undo"] == "L1"
    order = ["services 0", "last backup", "wish for 2026-05-01", "postgres 0", "clear", "postgres 3"]
    order += ["postgres well", "forget the wish", "services 2", "full backup"]
    assert [each for each in fake.done if each in order] == order


def test_without_a_last_backup_nothing_is_cleared(platform: Callable[[FakePlatform], FakePlatform]) -> None:
    fake = platform(FakePlatform(fail="last backup"))
    with pytest.raises(EsqError, match="last backup"):
        in_place()
    assert "clear" not in fake.done
    assert "postgres 0" not in fake.done


def test_a_restore_that_was_cut_off_goes_on(platform: Callable[[FakePlatform], FakePlatform]) -> None:
    fake = platform(FakePlatform(fail="postgres well"))
    with pytest.raises(EsqError, match="postgres well"):
        in_place()
    fake._fail, fake.done = "", []
    in_place()
    assert "last backup" not in fake.done
    assert fake.done[0] == "postgres 0"
    assert fake.done[-1] == "full backup"


def test_another_restore_has_to_wait_for_the_one_that_was_cut_off(
    platform: Callable[[FakePlatform], FakePlatform],
) -> None:
    fake = platform(FakePlatform({"wish": "yesterday"}))
    with pytest.raises(UsageError, match="yesterday"):
        in_place("today")
    assert fake.done == []
