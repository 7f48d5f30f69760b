"""Tables that the kit needs in a service's schema. Migrations run these texts: a released one never changes.

The outbox and what is parked are the service's own queues, not things of a company, so their keys begin
otherwise.
"""

from __future__ import annotations

OUTBOX_V1 = (
    """CREATE TABLE outbox (
        lane smallint NOT NULL,
        id bigint GENERATED ALWAYS AS IDENTITY,
        company text NOT NULL,
        event_id uuid NOT NULL,
        topic text NOT NULL,
        key text NOT NULL,
        payload bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (lane, id)
    ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000)""",
    "CREATE TABLE outbox_lane (lane smallint PRIMARY KEY)",
    "INSERT INTO outbox_lane SELECT generate_series(0, 7)",
)
"""Events to be published. A lane holds keys whose order matters; one relay at a time has a lane."""

INBOX_V1 = (
    """CREATE TABLE inbox (
        company text NOT NULL,
        event_id uuid NOT NULL,
        seen_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (company, event_id)
    )""",
    "CREATE INDEX inbox_seen_at ON inbox USING brin (seen_at)",
    """CREATE TABLE parked (
        topic text NOT NULL,
        partition int NOT NULL,
        position bigint NOT NULL,
        key bytea,
        payload bytea,
        reason text NOT NULL,
        parked_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (topic, partition, position)
    )""",
)
"""Events whose effect is stored, and records that could not be handled, kept for people."""
