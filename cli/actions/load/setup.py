"""Fixtures of a load test: companies, each with a connection and a contact list."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import jwt

from cli.actions import send_campaign
from cli.platform_client import RequestRejectedError
from loadtests.protocol import LoadTarget

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cli.actions.platform_access import PlatformAccess
    from cli.platform_client import PlatformClient
    from infra.progress import ProgressStep
    from loadtests.scenarios import Scenario

TIMEOUT_SECONDS = 120.0
"""For each company."""
CONNECTION = "load"
SCOPES = "campaigns:read campaigns:write contacts:read messages:write"
"""Of the tokens: generators have these and not the key, which signs for everyone."""
_FIRST_NUMBER = 5_511_960_000_000
_ROWS_PER_CHUNK = 1000


def create_fixtures(
    scenario: Scenario, access: PlatformAccess, token_seconds: float, step: ProgressStep
) -> LoadTarget:
    """Create the missing fixtures of a scenario.

    Args:
        scenario: the scenario to prepare.
        access: access to the platform.
        token_seconds: lifetime of the target's tokens in seconds.
        step: progress step.

    Returns:
        The target of the requests.

    Raises:
        EsqError: the platform rejected a request or did not answer in time.
    """
    companies = [f"load-{number:03}" for number in range(scenario.companies)]
    list_name = f"load-{scenario.contacts}"
    for number, company in enumerate(companies, start=1):
        step.set_status(f"company {number} of {len(companies)}")
        _create_company(access.client_for(company, TIMEOUT_SECONDS), list_name, scenario)
    campaign_id: str = ""
    sent_messages: tuple[tuple[str, str], ...] = ()
    if scenario.needs_sent_campaign:
        step.set_status("sending the campaign for the status updates")
        campaign_id, sent_messages = _send_campaign(
            access.client_for(companies[0], TIMEOUT_SECONDS), list_name
        )
    return LoadTarget(
        url=access.url,
        ca_file=str(access.ca_file) if access.ca_file else None,
        tokens=create_tokens(companies, access.credentials.token_key, token_seconds),
        app_secret=access.credentials.app_secret if scenario.needs_sent_campaign else "",
        connection=CONNECTION,
        list_name=list_name,
        campaign=campaign_id,
        sent_messages=sent_messages,
    )


def create_tokens(companies: Iterable[str], key: str, seconds: float) -> dict[str, str]:
    """Return a bearer token of each company.

    Args:
        companies: names of the companies.
        key: key that signs the tokens.
        seconds: lifetime of the tokens.
    """
    claims = {"sub": "esq", "scope": SCOPES, "exp": time.time() + seconds}
    return {
        company: jwt.encode({**claims, "company": company}, key, algorithm="HS256") for company in companies
    }


def _create_company(client: PlatformClient, list_name: str, scenario: Scenario) -> None:
    number = {"phone_number_id": send_campaign.phone_number_id(client.company, CONNECTION)}
    body = {**number, "messages_per_second": scenario.connection_rate}
    client.call("PUT", f"/connections/{CONNECTION}", "connections:write", body=body)
    if _contact_count(client, list_name) < scenario.contacts:
        headers, query = {"Content-Type": "text/csv"}, {"list": list_name}
        client.call(
            "POST",
            "/contacts/imports",
            "contacts:write",
            content=lambda: _contact_rows(scenario.contacts),
            query=query,
            headers=headers,
        )


def _contact_count(client: PlatformClient, list_name: str) -> int:
    """Return the number of contacts on a list; 0 if it does not exist."""
    path = f"/contacts/lists/{list_name}/contacts"
    try:
        page = client.call("GET", path, "contacts:read", query={"limit": "1"})
    except RequestRejectedError:
        return 0
    return int(page["total"])


def _contact_rows(count: int) -> Iterator[bytes]:
    """Yield a CSV file of generated contacts."""
    yield b"name,phone\n"
    for first in range(0, count, _ROWS_PER_CHUNK):
        numbers = range(first, min(first + _ROWS_PER_CHUNK, count))
        yield "".join(f"Contato {n},+{_FIRST_NUMBER + n}\n" for n in numbers).encode()


def _send_campaign(client: PlatformClient, list_name: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Send a campaign; return its id, and phone number id and message id of each accepted message."""
    body = {"name": "load", "list": list_name, "text": "Olá {name}.", "connection": CONNECTION}
    headers = {"Idempotency-Key": secrets.token_urlsafe(24)}
    created = client.call("POST", "/campaigns", "campaigns:write", body=body, headers=headers)
    campaign_id = str(created["id"])
    send_campaign.wait_for_campaign(campaign_id, client, lambda _: None)
    number = send_campaign.phone_number_id(client.company, CONNECTION)
    sent_messages = (
        (number, str(message["id"]))
        for page in send_campaign.iterate_messages(campaign_id, client)
        for message in page
        if message["state"] in send_campaign.EXPECTED_SENT_STATES
    )
    return campaign_id, tuple(sent_messages)
