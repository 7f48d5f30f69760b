"""A rotation, interrupted at every point and repeated."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from cli.actions.credentials_rotation import RotationResult, run_phases
from cli.environment_store import StoredEnvironment
from infra.credentials import Credentials, RotationPhase, complete_credentials
from infra.errors import EsqError
from infra.progress import RecordingProgress

if TYPE_CHECKING:
    from infra.progress import ProgressStep


class KilledError(BaseException):
    """The process was killed."""


@dataclass
class FakeEnvironment:
    """A store and the deployed credentials; the process is killed before the step with the given number.

    Attributes:
        stored: what the store holds.
        deployed: credentials of each completed deploy.
        killed_at: number of the step; None for never.
        step: number of the next step.
    """

    stored: StoredEnvironment
    deployed: list[Credentials] = field(default_factory=list)
    killed_at: int | None = None
    step: int = 0

    def _start_step(self) -> None:
        self.step += 1
        if self.step - 1 == self.killed_at:
            raise KilledError

    def require(self) -> StoredEnvironment:
        return self.stored

    def save(
        self, stored: StoredEnvironment, *, expected: StoredEnvironment | None, step: ProgressStep
    ) -> None:
        self._start_step()
        assert expected == self.stored
        step.set_status("saving")
        self.stored = stored

    def deploy(self) -> None:
        self._start_step()
        self.deployed.append(self.stored.credentials)

    def rotate(self) -> RotationResult:
        return run_phases("local", self, self.deploy, RecordingProgress())


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    return complete_credentials()


@pytest.fixture
def environment(credentials: Credentials) -> FakeEnvironment:
    return FakeEnvironment(StoredEnvironment(record=None, credentials=credentials), [credentials])


STEPS = 2 * len(RotationPhase) + 1
"""Saves and deploys of a rotation."""


def test_a_rotation_deploys_each_phase_once(environment: FakeEnvironment) -> None:
    assert environment.rotate() == RotationResult(tuple(RotationPhase), "b")
    assert [deployed.rotation for deployed in environment.deployed] == [None, *RotationPhase]
    assert environment.stored.credentials.rotation is None
    assert environment.step == STEPS


@pytest.mark.parametrize("killed_at", range(STEPS))
def test_a_rotation_killed_at_any_step_is_completed_by_the_next(
    environment: FakeEnvironment, credentials: Credentials, killed_at: int
) -> None:
    environment.killed_at = killed_at
    with pytest.raises(KilledError):
        environment.rotate()
    environment.rotate()
    final = environment.stored.credentials
    assert (final.generation, final.rotation, final.alternate) == ("b", None, None)
    assert final.ca != credentials.ca
    for earlier, later in itertools.pairwise(environment.deployed):
        accepted = [generation.redis.admin for generation in later.accepted]
        assert earlier.redis.admin in accepted, "clients of the earlier deploy still run during the later one"
        assert later.redis.admin in [generation.redis.admin for generation in earlier.accepted]


def test_a_plain_deploy_in_the_middle_changes_nothing(environment: FakeEnvironment) -> None:
    environment.killed_at = 3
    with pytest.raises(KilledError):
        environment.rotate()
    before = environment.stored.credentials
    assert before.rotation is RotationPhase.USE
    assert complete_credentials(before) == before


def test_a_failed_deploy_names_the_phase_and_how_to_continue(environment: FakeEnvironment) -> None:
    def deploy() -> None:
        raise EsqError("no space", location="layer data", remedy="Repeat the deploy.")

    with pytest.raises(EsqError, match="stopped in phase accept: no space") as caught:
        run_phases("local", environment, deploy, RecordingProgress())
    assert "esq credentials rotate local" in caught.value.remedy
    assert environment.stored.credentials.rotation is RotationPhase.ACCEPT
