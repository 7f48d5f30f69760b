"""Alerts of the application: what its users see, and the messages that it must deliver."""

from __future__ import annotations

from infra.alerts.alert import Alert, Owner, Severity, Source

_EDGE = (
    Alert(
        "ApiAvailability",
        Severity.PAGE,
        Owner.MESSAGING,
        "Requests at the edge fail: the error budget burns {{ $labels.burn }} times too fast",
        "Users get errors.",
        experiment="postgres-primary-frozen",
        slo="api-error-rate",
    ),
    Alert(
        "ApiLatency",
        Severity.PAGE,
        Owner.MESSAGING,
        "Requests at the edge are slow: the budget of slow requests burns {{ $labels.burn }} times too fast",
        "Users wait.",
        experiment="postgres-primary-cpu-throttled",
        slo="api-p99",
    ),
    Alert(
        "ServiceDown",
        Severity.PAGE,
        Owner.MESSAGING,
        "No replica of {{ $labels.service }} is ready",
        "What this service does has stopped.",
        experiment="pipeline-sequential-kill",
        for_seconds=10,
        inhibits=("ApiAvailability", "ApiLatency", "TelemetryMissing", "RecoverySlow"),
    ),
)

_MESSAGES = (
    Alert(
        "DeliveryLatency",
        Severity.PAGE,
        Owner.MESSAGING,
        "Replies are late: the budget of late replies burns {{ $labels.burn }} times too fast",
        "People in conversations wait; campaigns are sent after replies, so that they are late too.",
        unproven="the traffic of experiments holds no replies",
        slo="end-to-end-latency-p99",
    ),
    Alert(
        "MessagesLost",
        Severity.PAGE,
        Owner.MESSAGING,
        "A message has been due for {{ $value | humanizeDuration }}, on a connection that may send",
        "Recipients do not get these messages.",
        slo="messages-lost",
        unproven="no fault may lose a message: its metric is tested with a synthetic series",
    ),
    Alert(
        "MessagesDuplicated",
        Severity.PAGE,
        Owner.MESSAGING,
        "{{ $value }} messages were sent twice",
        "Recipients got the same message twice.",
        slo="messages-duplicated",
        unproven="no fault may send a message twice: its metric is tested with a synthetic series",
    ),
    Alert(
        "QueueBacklog",
        Severity.TICKET,
        Owner.MESSAGING,
        "The oldest job of {{ $labels.queue }} has waited {{ $value | humanizeDuration }}",
        "Work is done late; deadlines may pass.",
        experiment="pipeline-sequential-kill",
        for_seconds=30,
    ),
    Alert(
        "CampaignStuck",
        Severity.PAGE,
        Owner.MESSAGING,
        "A campaign has made no progress for {{ $value | humanizeDuration }}",
        "Messages of these campaigns are not sent.",
        experiment="pipeline-sequential-kill",
        for_seconds=60,
    ),
    Alert(
        "DispatcherDown",
        Severity.PAGE,
        Owner.MESSAGING,
        "No dispatcher is ready",
        "No message is sent; none is lost.",
        experiment="dispatcher-killed",
        for_seconds=5,
        inhibits=("ServiceDown", "DeliveryLatency", "QueueBacklog", "CampaignStuck", "ProcessingAnomaly"),
    ),
    Alert(
        "DeadLetters",
        Severity.TICKET,
        Owner.MESSAGING,
        "{{ $value }} events of {{ $labels.topic }} could not be processed",
        "What these events say has not happened, e.g. a status is not shown.",
        unproven="no experiment publishes an unreadable event",
    ),
)

_PROVIDER = (
    Alert(
        "ConnectionBanned",
        Severity.TICKET,
        Owner.MESSAGING,
        "The provider banned {{ $value }} connections",
        "The companies of these numbers can send nothing.",
        unproven="no experiment bans a number",
    ),
    Alert(
        "ConnectionThrottled",
        Severity.TICKET,
        Owner.MESSAGING,
        "The provider throttles {{ $value }} connections",
        "Messages of these numbers are sent slower.",
        unproven="no experiment throttles a number",
        for_seconds=60,
    ),
    Alert(
        "ConnectionLoggedOut",
        Severity.TICKET,
        Owner.MESSAGING,
        "{{ $value }} connections are logged out",
        "The companies of these numbers can send nothing until they log in again.",
        unproven="no experiment revokes the access of a number",
    ),
    Alert(
        "WebhookMissing",
        Severity.TICKET,
        Owner.MESSAGING,
        "No webhook has arrived although messages are sent",
        "Statuses of messages are not shown, and uncertain messages are not resolved.",
        unproven="no experiment stops the webhooks of the simulator",
        for_seconds=60,
    ),
    Alert(
        "ProviderOutage",
        Severity.PAGE,
        Owner.MESSAGING,
        "The provider rejects or does not answer {{ $value | humanizePercentage }} of the calls",
        "Messages wait in the queue until the provider answers; none is lost.",
        unproven="no experiment stops the provider",
        for_seconds=15,
        inhibits=(
            *("DeliveryLatency", "CampaignStuck", "QueueBacklog", "WebhookMissing", "ConnectionThrottled"),
            "ProcessingAnomaly",
        ),
    ),
)

_ANOMALIES = (
    Alert(
        "ProcessingAnomaly",
        Severity.TICKET,
        Owner.MESSAGING,
        "{{ $labels.signal }}: {{ $value | humanize }}, unlike the same hour of former days",
        "Something changed that no other alert describes: compare the dashboards.",
        unproven="four days of history are needed",
        for_seconds=300,
    ),
    Alert(
        "LogPatternExploded",
        Severity.TICKET,
        Owner.MESSAGING,
        "A service logs one pattern much more often than before",
        "Often the first sign of a fault that no other alert describes.",
        experiment="postgres-primary-frozen",
        source=Source.COMMAND,
    ),
)

MESSAGING = (*_EDGE, *_MESSAGES, *_PROVIDER, *_ANOMALIES)
