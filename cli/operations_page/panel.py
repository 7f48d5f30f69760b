"""A panel of the operations page, and what one reading of it yields."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from infra.errors import EsqError

if TYPE_CHECKING:
    from collections.abc import Callable


class NotDeployedError(EsqError):
    """The source of a panel is not part of the environment, or was not asked for."""


class PanelState(StrEnum):
    """State of a panel.

    Attributes:
        READING: its first reading is in progress.
        CURRENT: its source was read.
        UNAVAILABLE: its source cannot be read; nothing is known.
        NOT_DEPLOYED: the environment has no such source.
    """

    READING = "reading"
    CURRENT = "current"
    UNAVAILABLE = "unavailable"
    NOT_DEPLOYED = "not deployed"


@dataclass(frozen=True)
class Content:
    """What a panel shows.

    Attributes:
        html: its HTML; all text in it is escaped.
        problems: what needs attention, one sentence each; shown at the top of the page too.
    """

    html: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Panel:
    """A part of the page with one source.

    Attributes:
        id: its id in the page.
        title: its heading.
        read: reads the source; raises NotDeployedError or another EsqError.
        interval_seconds: least time between the starts of two readings, for all viewers together.
        deadline_seconds: time after which a reading counts as failed.
    """

    id: str
    title: str
    read: Callable[[], Content]
    interval_seconds: float = 3.0
    deadline_seconds: float = 10.0


@dataclass(frozen=True)
class PanelView:
    """A panel at a moment.

    Attributes:
        panel: the panel.
        state: whether its content is current.
        reason: why there is no content; empty if there is.
        content: its content; empty unless it is current.
        age_seconds: time since its source was read; None unless it is current.
    """

    panel: Panel
    state: PanelState
    reason: str = ""
    content: Content = Content("")
    age_seconds: float | None = None
