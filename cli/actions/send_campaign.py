"""Send a campaign: import contacts, create the campaign, wait for its end, reconcile it with the ledger.

The idempotency key of a campaign is written to a file before the campaign is created and deleted when it has
ended. A repeated command therefore continues an interrupted campaign and sends nothing twice.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.errors import EsqError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cli.platform_client import PlatformClient
    from infra.progress import ProgressReporter, ProgressStep

PAGE_SIZE = 1000
"""Messages per request to the campaigns service and to the ledger."""
POLL_INTERVAL_SECONDS = 0.5
CHUNK_BYTES = 1 << 16
EXPECTED_SENT_STATES = frozenset({"accepted", "sent", "delivered", "read"})
"""Messages in these states must be in the ledger."""
UNCERTAIN = "uncertain"
_BAR_WIDTH = 24


@dataclass(frozen=True)
class SendRequest:
    """A campaign to send.

    Attributes:
        contacts: a CSV file.
        template: a text file; `{name}` is replaced with the name of the contact.
        connection: name of the company's WhatsApp number.
        rate: rate limit of the number, in messages per second; None means the platform's default.
    """

    contacts: Path
    template: Path
    connection: str = "main"
    rate: float | None = None


@dataclass(frozen=True)
class Reconciliation:
    """Comparison of the platform's message states with the ledger, in messages.

    Attributes:
        lost: messages that are sent according to the platform, but were never received.
        duplicated: messages that were received more than once.
        uncertain: messages sent without a response, and not resolved yet.
    """

    lost: int
    duplicated: int
    uncertain: int

    @property
    def passed(self) -> bool:
        """Whether nothing is lost or duplicated."""
        return self.lost == 0 and self.duplicated == 0


@dataclass
class SendResult:
    """Result of a campaign.

    Attributes:
        campaign: id of the campaign.
        continued: whether an earlier run created it.
        accepted: contacts of the file that are on the list.
        rejected: rejected rows that the service listed.
        rejected_total: number of all rejected rows.
        planned: number of messages.
        counts: messages by state.
        reconciliation: comparison with the ledger.
        seconds: time from the creation of the campaign to its end.
    """

    campaign: str
    continued: bool
    accepted: int
    rejected: list[dict[str, Any]]
    rejected_total: int
    planned: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    reconciliation: Reconciliation = Reconciliation(0, 0, 0)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "campaign": self.campaign,
            "continued": self.continued,
            "accepted": self.accepted,
            "rejected": {"total": self.rejected_total, "rows": self.rejected},
            "planned": self.planned,
            "counts": self.counts,
            "reconciliation": vars(self.reconciliation),
            "seconds": round(self.seconds, 3),
        }


def validate(request: SendRequest, company: str) -> None:
    """Check the arguments before the first request to the platform.

    Args:
        request: campaign to send.
        company: owner of the campaign.

    Raises:
        UsageError: a file does not exist, or the company is empty.
    """
    for option, file in (("--contacts", request.contacts), ("--template", request.template)):
        if not file.is_file():
            raise UsageError(
                f"no such file: {file}", location=option, remedy="Give the path of a file, as in `examples/`."
            )
    if not company:
        raise UsageError("the company is empty", location="--company", remedy="Give the name of a company.")


def send_campaign(
    request: SendRequest, client: PlatformClient, keys_dir: Path, progress: ProgressReporter
) -> SendResult:
    """Send a campaign and wait for its end.

    Args:
        request: file of contacts, template and connection to send with.
        client: HTTP client for the company; its deadline limits the whole call.
        keys_dir: folder of the idempotency keys of campaigns in progress.
        progress: reports steps.

    Returns:
        The result of the campaign, reconciled with the ledger.

    Raises:
        EsqError: the platform rejected a request, or the campaign did not end before the deadline.
    """
    digest = _request_digest(request, client.company)
    key, continued = _idempotency_key(keys_dir / digest)
    with progress.step("connection") as step:
        client.on_retry = step.set_status
        body: dict[str, Any] = {"phone_number_id": phone_number_id(client.company, request.connection)}
        if request.rate:
            body["messages_per_second"] = request.rate
        client.call("PUT", f"/connections/{request.connection}", "connections:write", body=body)
        step.set_result(request.connection)
    with progress.step("contacts") as step:
        client.on_retry = step.set_status
        imported = _import_contacts(request, client, f"{request.contacts.stem[:40]}-{digest[:8]}")
        step.set_result(f"{imported['accepted']} accepted, {imported['rejected_total']} rejected")
    started = client.clock()
    with progress.step("campaign") as step:
        client.on_retry = step.set_status
        result = _create_campaign(request, client, key, imported, continued=continued)
        _follow_progress(result, client, step)
        result.seconds = client.clock() - started
        step.set_result(_format_counts(result.counts))
    with progress.step("ledger") as step:
        client.on_retry = step.set_status
        result.reconciliation = reconcile(result.campaign, client)
        step.set_result(", ".join(f"{count} {name}" for name, count in vars(result.reconciliation).items()))
    (keys_dir / digest).unlink(missing_ok=True)
    return result


def _request_digest(request: SendRequest, company: str) -> str:
    sha = hashlib.sha256(f"{company}\0{request.connection}\0".encode())
    sha.update(hashlib.sha256(request.template.read_bytes()).digest())
    with request.contacts.open("rb") as opened:
        sha.update(hashlib.file_digest(opened, "sha256").digest())
    return sha.hexdigest()[:32]


def _idempotency_key(file: Path) -> tuple[str, bool]:
    """Return the idempotency key, and whether an earlier run created it."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if file.is_file() and (saved := file.read_text().strip()):
        return saved, True
    key = secrets.token_urlsafe(24)
    file.write_text(key)
    return key, False


def phone_number_id(company: str, connection: str) -> str:
    """Return the phone number id at the simulator; deterministic.

    Args:
        company: owner of the number.
        connection: name of the number.
    """
    digest = hashlib.sha256(f"{company}\0{connection}".encode()).digest()
    return str(10**14 + int.from_bytes(digest[:6]) % 10**14)


def _import_contacts(request: SendRequest, client: PlatformClient, name: str) -> dict[str, Any]:
    def stream() -> Iterator[bytes]:
        with request.contacts.open("rb") as opened:
            while chunk := opened.read(CHUNK_BYTES):
                yield chunk

    response: dict[str, Any] = client.call(
        "POST",
        "/contacts/imports",
        "contacts:write",
        content=stream,
        query={"list": name},
        headers={"Content-Type": "text/csv"},
    )
    return response


def _create_campaign(
    request: SendRequest, client: PlatformClient, key: str, imported: dict[str, Any], *, continued: bool
) -> SendResult:
    body = {
        "name": request.template.stem[:100],
        "list": imported["list"],
        "text": request.template.read_text(encoding="utf-8"),
        "connection": request.connection,
    }
    headers = {"Idempotency-Key": key}
    created = client.call("POST", "/campaigns", "campaigns:write", body=body, headers=headers)
    return SendResult(
        campaign=str(created["id"]),
        continued=continued,
        accepted=int(imported["accepted"]),
        rejected=list(imported["rejected"]),
        rejected_total=int(imported["rejected_total"]),
    )


def _follow_progress(result: SendResult, client: PlatformClient, step: ProgressStep) -> None:
    """Wait for the end of the campaign; show its progress."""

    def show(progress: dict[str, Any]) -> None:
        result.planned, result.counts = int(progress["planned"]), dict(progress["counts"])
        total = progress["total"] if progress["total"] is not None else result.planned
        remaining = result.counts.get("queued", 0) + result.counts.get("pending", 0)
        paused = " (paused)" if progress["state"] == "paused" else ""
        step.set_status(progress_bar(result.planned - remaining, int(total)) + paused)

    wait_for_campaign(result.campaign, client, show)


def wait_for_campaign(
    campaign: str, client: PlatformClient, on_progress: Callable[[dict[str, Any]], None]
) -> None:
    """Poll a campaign until it has finished.

    Args:
        campaign: id of the campaign.
        client: HTTP client; its deadline limits the wait.
        on_progress: called with the progress after each poll.

    Raises:
        EsqError: the campaign failed, was cancelled, or did not end before the deadline.
    """
    while True:
        progress = client.call("GET", f"/campaigns/{campaign}", "campaigns:read")
        on_progress(progress)
        counts = _format_counts(progress["counts"])
        if progress["state"] == "finished":
            return
        if progress["state"] == "failed":
            raise EsqError(
                f"the campaign could not be planned: {progress.get('failure')}",
                location=campaign,
                remedy="Correct the problem, then send the campaign again.",
            )
        if progress["state"] == "cancelled":
            raise EsqError(
                f"the campaign was cancelled: {counts}",
                location=campaign,
                remedy=f"See `esq campaign show {client.environment} {campaign}`. To send it anyway,"
                " use another template or list.",
            )
        if client.clock() > client.deadline:
            raise EsqError(
                f"the campaign did not end in time: {counts}",
                location=campaign,
                remedy="Repeat the command: it continues this campaign (a longer --timeout helps).",
            )
        client.sleep(POLL_INTERVAL_SECONDS)


def progress_bar(done: int, total: int) -> str:
    """Return a progress bar with percentage and counts.

    Args:
        done: number of completed items.
        total: number of all items.
    """
    fraction = done / total if total else 0.0
    filled = round(fraction * _BAR_WIDTH)
    return f"{'━' * filled}{'─' * (_BAR_WIDTH - filled)} {fraction:4.0%}  {done} of {total}"


def _format_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "no messages"


def iterate_messages(campaign: str, client: PlatformClient) -> Iterator[list[dict[str, Any]]]:
    """Yield the messages of a campaign with their states, page by page.

    Args:
        campaign: id of the campaign.
        client: HTTP client for its company.
    """
    after = None
    while True:
        query = {"limit": str(PAGE_SIZE)} | ({"after": after} if after else {})
        page = client.call("GET", f"/campaigns/{campaign}/messages", "campaigns:read", query=query)
        yield page["messages"]
        after = page["next"]
        if after is None:
            return


def reconcile(campaign: str, client: PlatformClient) -> Reconciliation:
    """Compare the state of every message with the ledger of the simulator.

    Args:
        campaign: id of the campaign.
        client: HTTP client for its company.

    Returns:
        The number of lost, duplicated and uncertain messages.
    """
    lost = duplicated = uncertain = 0
    for page in iterate_messages(campaign, client):
        if not page:
            continue
        states = {str(message["id"]): str(message["state"]) for message in page}
        received = client.call("POST", "/ledger/query", "ledger:read", body={"ids": list(states)})
        for message_id, state in states.items():
            count = int(received.get(message_id, 0))
            lost += state in EXPECTED_SENT_STATES and count == 0
            duplicated += count > 1
            uncertain += state == UNCERTAIN
    return Reconciliation(lost, duplicated, uncertain)
