"""What a journey needs before it begins: companies with a connection and a list of contacts each."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from cli.actions import campaign
from cli.edge import RefusedError
from loadtests.order import Ground

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cli.actions.doors import Doors
    from cli.edge import Edge
    from infra.progress import ProgressStep
    from loadtests.catalogue import Journey

CONNECTION = "load"
_FIRST_NUMBER = 5_511_960_000_000
_ROWS = 1000
"""Of the file in one piece."""


def prepare(journey: Journey, doors: Doors, seconds: float, step: ProgressStep) -> Ground:
    """Make what is missing, and return where requests go.

    Args:
        journey: what is going to happen.
        doors: the ways in.
        seconds: that each company's part may take.
        step: told how far it is.

    Raises:
        EsqError: the platform refused, or did not answer in time.
    """
    names = [f"load-{number:03}" for number in range(journey.companies)]
    wanted = f"load-{journey.contacts}"
    for done, name in enumerate(names):
        step.set_status(f"company {done + 1} of {len(names)}")
        _company(doors.edge(name, seconds), wanted, journey)
    sent: tuple[str, tuple[tuple[str, str], ...]] = ("", ())
    if journey.reported:
        step.set_status("the campaign that will be reported on")
        sent = _sent(doors.edge(names[0], seconds), wanted)
    return Ground(
        url=doors.url,
        authority=str(doors.authority),
        token_key=doors.keys.token_key,
        app_secret=doors.keys.app_secret if journey.reported else "",
        companies=tuple(names),
        connection=CONNECTION,
        list=wanted,
        campaign=sent[0],
        reported=sent[1],
    )


def _company(edge: Edge, wanted: str, journey: Journey) -> None:
    number = {"phone_number_id": campaign.number_of(edge.company, CONNECTION)}
    body = {**number, "messages_per_second": journey.granted}
    edge.call("PUT", f"/connections/{CONNECTION}", "connections:write", body=body)
    if _contacts(edge, wanted) < journey.contacts:
        headers, query = {"Content-Type": "text/csv"}, {"list": wanted}
        edge.call(
            "POST",
            "/contacts/imports",
            "contacts:write",
            content=lambda: _rows(journey.contacts),
            query=query,
            headers=headers,
        )


def _contacts(edge: Edge, wanted: str) -> int:
    """Return how many contacts are on a list; none when it is not there."""
    try:
        page = edge.call("GET", f"/contacts/lists/{wanted}/contacts", "contacts:read", query={"limit": "1"})
    except RefusedError:
        return 0
    return int(page["total"])


def _rows(count: int) -> Iterator[bytes]:
    """Yield a file of made-up contacts."""
    yield b"name,phone\n"
    for first in range(0, count, _ROWS):
        numbers = range(first, min(first + _ROWS, count))
        yield "".join(f"Contato {n},+{_FIRST_NUMBER + n}\n" for n in numbers).encode()


def _sent(edge: Edge, wanted: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Send a campaign; return its id, and the number and the id of each message that the provider took."""
    body = {"name": "load", "list": wanted, "text": "Olá {name}.", "connection": CONNECTION}
    headers = {"Idempotency-Key": secrets.token_urlsafe(24)}
    made = edge.call("POST", "/campaigns", "campaigns:write", body=body, headers=headers)["id"]
    campaign.follow(made, edge, lambda _: None)
    number = campaign.number_of(edge.company, CONNECTION)
    taken = (
        (number, str(each["id"]))
        for page in campaign.messages(made, edge)
        for each in page
        if each["state"] in campaign.BELIEVED_SENT
    )
    return made, tuple(taken)
