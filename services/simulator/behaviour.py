"""How the simulated WhatsApp behaves: delays, outcomes and faults, all of them changeable while it runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from random import Random

Probability = Annotated[float, Field(ge=0, le=1)]


class Delay(BaseModel):
    """A log-normal delay: most are near the median, a few take much longer, as networks do.

    Attributes:
        median_ms: milliseconds that half of the samples stay under; 0 means no delay at all.
        spread: standard deviation of the logarithm; 0 makes the delay constant, 1 puts the 95th percentile at
            5 medians.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    median_ms: float = Field(default=0, ge=0, le=3_600_000)
    spread: float = Field(default=0.5, ge=0, le=3)

    def seconds(self, rng: Random) -> float:
        """Return one sample, in seconds."""
        if not self.median_ms:
            return 0.0
        return (
            self.median_ms / 1000 * math.exp(rng.gauss(0, self.spread))
            if self.spread
            else self.median_ms / 1000
        )


class Behaviour(BaseModel):
    """One description of the simulator, replaced as a whole by `PUT /faults`.

    Attributes:
        latency: time a send takes to be answered.
        error_rates: Cloud API error code -> probability that a send is refused with it (nothing is received
            then).
        reset_after_accept: probability that a send is received and the connection dies before the answer.
        callbacks: whether status callbacks are made at all.
        sent: time from acceptance to `sent`.
        delivered: time from `sent` to `delivered`.
        read: time from `delivered` to `read`.
        read_rate: probability that a delivered message is read.
        failed_rate: probability that an accepted message fails instead of being sent.
        failed_code: the code such a failure carries.
        skip_delivered_rate: probability that a message that is read reports no `delivered` before.
        duplicate_rate: probability that a status is reported twice.
        reorder_rate: probability that two neighbouring statuses of a message change places.
        batch: most statuses in one callback.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency: Delay = Delay(median_ms=50)
    error_rates: dict[int, Probability] = {}
    reset_after_accept: Probability = 0
    callbacks: bool = True
    sent: Delay = Delay(median_ms=300)
    delivered: Delay = Delay(median_ms=800)
    read: Delay = Delay(median_ms=3000, spread=1)
    read_rate: Probability = 0.6
    failed_rate: Probability = 0.01
    failed_code: int = 131026
    skip_delivered_rate: Probability = 0.02
    duplicate_rate: Probability = 0.02
    reorder_rate: Probability = 0.02
    batch: int = Field(default=50, ge=1, le=1000)

    @model_validator(mode="after")
    def _sum_of_rates(self) -> Self:
        if sum(self.error_rates.values()) > 1:
            raise ValueError("the error rates together exceed 1")
        return self

    def refusal(self, rng: Random) -> int | None:
        """Draw the error code that a send is refused with, or None when it is accepted."""
        draw = rng.random()
        for code, rate in self.error_rates.items():
            draw -= rate
            if draw < 0:
                return code
        return None
