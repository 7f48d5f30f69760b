"""Who receives alerts: the settings of an environment. Secrets are files, and in no text of Alertmanager."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

SECRETS_FOLDER = "/etc/alertmanager/secrets"
"""Folder of the secrets in the pods of Alertmanager; a file per name of `ReceiverSettings.secrets`."""
WEBHOOK_TOKEN = "webhook-token"  # noqa: S105 - the name of a file
SLACK_URL = "slack-url"
PAGERDUTY_KEY = "pagerduty-key"
OPSGENIE_KEY = "opsgenie-key"
SMTP_PASSWORD = "smtp-password"  # noqa: S105 - the name of a file


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WebhookReceiver(_Part):
    """Any HTTP server that takes Alertmanager's JSON.

    Attributes:
        url: its URL, without credentials.
        authenticated: whether requests carry the secret `webhook-token` as a bearer token.
    """

    url: str = Field(pattern=r"^https?://[^@\s]+$", description="URL without credentials.")
    authenticated: bool = Field(default=False, description="Send the secret webhook-token as bearer token.")


class SlackReceiver(_Part):
    """A channel of Slack; the secret `slack-url` is the URL of its incoming webhook.

    Attributes:
        channel: name of the channel.
    """

    channel: str = Field(pattern=r"^[#@]\S+$", description="#CHANNEL of Slack.")


class EmailReceiver(_Part):
    """Mail over SMTP with TLS; the secret `smtp-password` is the password.

    Attributes:
        to: address of the recipients.
        sender: address of the sender.
        server: SMTP server.
        username: account on it.
    """

    to: str = Field(pattern=r"^\S+@\S+$", description="Address of the recipients.")
    sender: str = Field(pattern=r"^\S+@\S+$", description="Address of the sender.")
    server: str = Field(pattern=r"^[^:\s]+:\d+$", description="HOST:PORT of the SMTP server.")
    username: str = Field(min_length=1, description="Account on the SMTP server.")


class ReceiverSettings(_Part):
    """Receivers of an environment. Pages go to all of them, tickets to those that wake nobody.

    Attributes:
        webhook: an HTTP server; None without one.
        slack: a channel of Slack; None without one.
        email: mail; None without it.
        pagerduty: whether pages go to PagerDuty, by the secret `pagerduty-key` (Events API v2).
        opsgenie: whether pages go to Opsgenie, by the secret `opsgenie-key`.
    """

    webhook: WebhookReceiver | None = Field(
        default=None, description="An HTTP server, for pages and tickets."
    )
    slack: SlackReceiver | None = Field(
        default=None, description="A channel of Slack, for pages and tickets."
    )
    email: EmailReceiver | None = Field(default=None, description="Mail, for pages and tickets.")
    pagerduty: bool = Field(default=False, description="Whether pages go to PagerDuty.")
    opsgenie: bool = Field(default=False, description="Whether pages go to Opsgenie.")

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the secrets that these receivers need."""
        needed = {
            WEBHOOK_TOKEN: self.webhook is not None and self.webhook.authenticated,
            SLACK_URL: self.slack is not None,
            SMTP_PASSWORD: self.email is not None,
            PAGERDUTY_KEY: self.pagerduty,
            OPSGENIE_KEY: self.opsgenie,
        }
        return tuple(name for name, is_needed in needed.items() if is_needed)
