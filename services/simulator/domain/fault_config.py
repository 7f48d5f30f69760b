"""Fault configuration of the simulator: delays, outcomes and faults, changeable at run time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from random import Random

Probability = Annotated[float, Field(ge=0, le=1)]


class Delay(BaseModel):
    """A log-normal delay: most samples are near the median, a few are much longer, as in networks.

    Attributes:
        median_ms: median in milliseconds; 0 means no delay.
        spread: standard deviation of the logarithm; 0 makes the delay constant, 1 puts the 95th percentile at
            5 medians.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    median_ms: float = Field(default=0, ge=0, le=3_600_000)
    spread: float = Field(default=0.5, ge=0, le=3)

    def sample_seconds(self, rng: Random) -> float:
        """Return one sample, in seconds."""
        if not self.median_ms:
            return 0.0
        factor = math.exp(rng.gauss(0, self.spread)) if self.spread else 1.0
        return self.median_ms / 1000 * factor


class FaultConfig(BaseModel):
    """Behaviour of the simulator, replaced as a whole by `PUT /faults`.

    Attributes:
        latency: response time of a send request.
        error_rates: Cloud API error code -> probability that a send request is rejected with it (the message
            is then not received).
        reset_after_accept: probability that a message is received and the connection closes before the
            response.
        webhooks: whether status webhooks are sent at all.
        sent: time from acceptance to `sent`.
        delivered: time from `sent` to `delivered`.
        read: time from `delivered` to `read`.
        read_rate: probability that a delivered message is read.
        failed_rate: probability that an accepted message fails instead of being sent.
        failed_error_code: error code of such a failure.
        skip_delivered_rate: probability that a message that is read has no `delivered` before.
        duplicate_rate: probability that a status is reported twice.
        reorder_rate: probability that two neighbouring statuses of a message change places.
        statuses_per_webhook: maximum number of statuses in one webhook.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    latency: Delay = Delay(median_ms=50)
    error_rates: dict[int, Probability] = {}
    reset_after_accept: Probability = 0
    webhooks: bool = True
    sent: Delay = Delay(median_ms=300)
    delivered: Delay = Delay(median_ms=800)
    read: Delay = Delay(median_ms=3000, spread=1)
    read_rate: Probability = 0.6
    failed_rate: Probability = 0.01
    failed_error_code: int = 131026
    skip_delivered_rate: Probability = 0.02
    duplicate_rate: Probability = 0.02
    reorder_rate: Probability = 0.02
    statuses_per_webhook: int = Field(default=50, ge=1, le=1000)

    @model_validator(mode="after")
    def _check_error_rates(self) -> Self:
        if sum(self.error_rates.values()) > 1:
            raise ValueError("the sum of the error rates exceeds 1")
        return self

    def draw_error(self, rng: Random) -> int | None:
        """Draw the error code that a send request is rejected with, or None when it is accepted."""
        draw = rng.random()
        for code, rate in self.error_rates.items():
            draw -= rate
            if draw < 0:
                return code
        return None
