"""A campaign from a file to a verdict: import, create, follow, and hold the ledger against what is believed.

A campaign is known by a key that is written down before it is created and forgotten when it has ended. The
same command, repeated after it was cut off, therefore continues the same campaign and sends nothing twice.
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

    from cli.edge import Edge
    from infra.progress import ProgressReporter, ProgressStep

PAGE = 1000
"""Messages asked about at once, by the campaigns service and by the ledger."""
LOOK_SECONDS = 0.5
"""Between two looks at the progress."""
CHUNK = 1 << 16
BELIEVED_SENT = frozenset({"accepted", "sent", "delivered", "read"})
UNCERTAIN = "uncertain"
_BAR = 24


@dataclass(frozen=True)
class Order:
    """What is to be sent, to whom, by whom.

    Attributes:
        contacts: a CSV file.
        text: a text file; `{name}` becomes each contact's name.
        connection: name of the company's number.
        rate: messages per second that the number is granted; None means the platform's default.
    """

    contacts: Path
    text: Path
    connection: str = "main"
    rate: float | None = None


@dataclass(frozen=True)
class Verdict:
    """The ledger against the platform's belief, in messages.

    Attributes:
        lost: believed sent, and never received.
        duplicated: received more than once.
        uncertain: sent without an answer, and not reconciled yet.
    """

    lost: int
    duplicated: int
    uncertain: int

    @property
    def kept(self) -> bool:
        """Whether the promise holds: nothing lost, nothing twice."""
        return self.lost == 0 and self.duplicated == 0


@dataclass
class Sent:
    """What became of a campaign.

    Attributes:
        campaign: its id.
        continued: a run before had begun it.
        accepted: contacts of the file that are on the list.
        rejected: rows that are no contact, those that were listed.
        rejected_total: all of them.
        planned: messages.
        counts: messages by state.
        verdict: the ledger's.
        seconds: from its creation to its end.
    """

    campaign: str
    continued: bool
    accepted: int
    rejected: list[dict[str, Any]]
    rejected_total: int
    planned: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    verdict: Verdict = Verdict(0, 0, 0)
    seconds: float = 0.0

    def report(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "campaign": self.campaign,
            "continued": self.continued,
            "accepted": self.accepted,
            "rejected": {"total": self.rejected_total, "rows": self.rejected},
            "planned": self.planned,
            "counts": self.counts,
            "verdict": vars(self.verdict),
            "seconds": round(self.seconds, 3),
        }


def check(order: Order, company: str) -> None:
    """Look at the files before anything is asked of the platform.

    Raises:
        UsageError: one of them is not there.
    """
    for option, file in (("--contacts", order.contacts), ("--text", order.text)):
        if not file.is_file():
            raise UsageError(
                f"no such file: {file}", location=option, remedy="Give the path of a file, as in `examples/`."
            )
    if not company:
        raise UsageError("whose campaign it is is not said", location="--company", remedy="Name a company.")


def send(order: Order, edge: Edge, keys: Path, steps: ProgressReporter) -> Sent:
    """Send `order` and return what became of it.

    Args:
        order: what to send.
        edge: where, and for which company.
        keys: folder of the keys of campaigns under way.
        steps: told as they begin and end.

    Raises:
        EsqError: the platform refused, or did not finish before the edge's deadline.
    """
    digest = _digest(order, edge.company)
    key, continued = _key(keys / digest)
    with steps.step("connection") as step:
        edge.waiting = step.set_status
        number = {"phone_number_id": number_of(edge.company, order.connection)}
        body = {**number, "messages_per_second": order.rate} if order.rate else number
        edge.call("PUT", f"/connections/{order.connection}", "connections:write", body=body)
        step.set_result(order.connection)
    with steps.step("contacts") as step:
        edge.waiting = step.set_status
        imported = _import(order, edge, f"{order.contacts.stem[:40]}-{digest[:8]}")
        step.set_result(f"{imported['accepted']} accepted, {imported['rejected_total']} rejected")
    begun = edge.clock()
    with steps.step("campaign") as step:
        edge.waiting = step.set_status
        sent = _create(order, edge, key, imported, continued=continued)
        _follow(sent, edge, step)
        sent.seconds = edge.clock() - begun
        step.set_result(_counted(sent.counts))
    with steps.step("ledger") as step:
        edge.waiting = step.set_status
        sent.verdict = judge(sent.campaign, edge)
        step.set_result(", ".join(f"{count} {name}" for name, count in vars(sent.verdict).items()))
    (keys / digest).unlink(missing_ok=True)
    return sent


def _digest(order: Order, company: str) -> str:
    sha = hashlib.sha256(f"{company}\0{order.connection}\0".encode())
    sha.update(hashlib.sha256(order.text.read_bytes()).digest())
    with order.contacts.open("rb") as opened:
        sha.update(hashlib.file_digest(opened, "sha256").digest())
    return sha.hexdigest()[:32]


def _key(file: Path) -> tuple[str, bool]:
    """Return the campaign's key, and whether a run before made it."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if file.is_file() and (kept := file.read_text().strip()):
        return kept, True
    key = secrets.token_urlsafe(24)
    file.write_text(key)
    return key, False


def number_of(company: str, connection: str) -> str:
    """Return the number of a connection at the simulated provider: always the same for the same names."""
    digest = hashlib.sha256(f"{company}\0{connection}".encode()).digest()
    return str(10**14 + int.from_bytes(digest[:6]) % 10**14)


def _import(order: Order, edge: Edge, name: str) -> dict[str, Any]:
    def stream() -> Iterator[bytes]:
        with order.contacts.open("rb") as opened:
            while chunk := opened.read(CHUNK):
                yield chunk

    answer: dict[str, Any] = edge.call(
        "POST",
        "/contacts/imports",
        "contacts:write",
        content=stream,
        query={"list": name},
        headers={"Content-Type": "text/csv"},
    )
    return answer


def _create(order: Order, edge: Edge, key: str, imported: dict[str, Any], *, continued: bool) -> Sent:
    body = {
        "name": order.text.stem[:100],
        "list": imported["list"],
        "text": order.text.read_text(encoding="utf-8"),
        "connection": order.connection,
    }
    headers = {"Idempotency-Key": key}
    made = edge.call("POST", "/campaigns", "campaigns:write", body=body, headers=headers)
    return Sent(
        campaign=str(made["id"]),
        continued=continued,
        accepted=int(imported["accepted"]),
        rejected=list(imported["rejected"]),
        rejected_total=int(imported["rejected_total"]),
    )


def _follow(sent: Sent, edge: Edge, step: ProgressStep) -> None:
    """Look until the campaign has ended."""

    def told(found: dict[str, Any]) -> None:
        sent.planned, sent.counts = int(found["planned"]), dict(found["counts"])
        total = found["total"] if found["total"] is not None else sent.planned
        left = sent.counts.get("queued", 0) + sent.counts.get("pending", 0)
        paused = " (paused)" if found["state"] == "paused" else ""
        step.set_status(bar(sent.planned - left, int(total)) + paused)

    follow(sent.campaign, edge, told)


def follow(campaign: str, edge: Edge, told: Callable[[dict[str, Any]], None]) -> None:
    """Look at a campaign until it has finished.

    Args:
        campaign: its id.
        edge: where, and until when.
        told: is given what each look found.

    Raises:
        EsqError: it failed, was cancelled, or has not ended before the edge's deadline.
    """
    while True:
        found = edge.call("GET", f"/campaigns/{campaign}", "campaigns:read")
        told(found)
        counted = _counted(found["counts"])
        if found["state"] == "finished":
            return
        if found["state"] == "failed":
            raise EsqError(
                f"the campaign could not be planned: {found.get('failure')}",
                location=campaign,
                remedy="Correct what it says, then send it anew.",
            )
        if found["state"] == "cancelled":
            raise EsqError(
                f"the campaign was cancelled: {counted}",
                location=campaign,
                remedy="See `esq campaign show`. To send it after all, give it another text or list.",
            )
        if edge.clock() > edge.deadline:
            raise EsqError(
                f"the campaign has not ended in time: {counted}",
                location=campaign,
                remedy="Repeat the command: it continues this campaign (a longer --timeout helps).",
            )
        edge.sleep(LOOK_SECONDS)


def bar(done: int, total: int) -> str:
    """Draw how far `done` of `total` is."""
    share = done / total if total else 0.0
    full = round(share * _BAR)
    return f"{'━' * full}{'─' * (_BAR - full)} {share:4.0%}  {done} of {total}"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "nothing yet"


def messages(campaign: str, edge: Edge) -> Iterator[list[dict[str, Any]]]:
    """Yield the messages of a campaign with their states, a page at a time."""
    after = None
    while True:
        query = {"limit": str(PAGE)} | ({"after": after} if after else {})
        page = edge.call("GET", f"/campaigns/{campaign}/messages", "campaigns:read", query=query)
        yield page["messages"]
        after = page["next"]
        if after is None:
            return


def judge(campaign: str, edge: Edge) -> Verdict:
    """Hold what the ledger received against what the platform believes of each message."""
    lost = duplicated = uncertain = 0
    for page in messages(campaign, edge):
        if not page:
            continue
        states = {str(each["id"]): str(each["state"]) for each in page}
        received = edge.call("POST", "/ledger/query", "ledger:read", body={"ids": list(states)})
        for message, state in states.items():
            count = int(received.get(message, 0))
            lost += state in BELIEVED_SENT and count == 0
            duplicated += count > 1
            uncertain += state == UNCERTAIN
    return Verdict(lost, duplicated, uncertain)
