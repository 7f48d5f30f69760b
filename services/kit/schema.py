"""Tables that the kit needs in a service's schema. Migrations run these texts: a released one never changes.

The outbox is the service's own queue, not a thing of a company, so its keys begin otherwise.
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
"""Events whose effect is stored. `parked` holds what earlier releases put aside; nothing writes it now."""

OUTBOX_V2 = (
    "ALTER TABLE outbox RENAME TO outbox_v1",
    "CREATE SEQUENCE outbox_ids",
    """CREATE TABLE outbox (
        lane smallint NOT NULL,
        id bigint NOT NULL
            DEFAULT CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('outbox_ids') END,
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        segment smallint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp())::bigint / 20 % 3)::smallint,
        company text NOT NULL,
        event_id uuid NOT NULL,
        topic text NOT NULL,
        key text NOT NULL,
        payload bytea NOT NULL,
        traceparent text NOT NULL DEFAULT '',
        created_at timestamptz NOT NULL DEFAULT now()
    ) PARTITION BY LIST (segment)""",
    *(
        f"CREATE TABLE outbox_{segment} PARTITION OF outbox FOR VALUES IN ({segment})"
        " WITH (autovacuum_enabled = off)"
        for segment in range(3)
    ),
    "CREATE INDEX outbox_in_order ON outbox (lane, id)",
    """ALTER TABLE outbox_lane
        ADD done pg_snapshot NOT NULL DEFAULT '1:1:',
        ADD upto pg_snapshot,
        ADD position bigint NOT NULL DEFAULT 0,
        ADD floor bigint NOT NULL DEFAULT 0,
        ADD next_floor bigint NOT NULL DEFAULT 0,
        ADD next_floor_after xid8 NOT NULL DEFAULT '0'""",
    """INSERT INTO outbox (lane, company, event_id, topic, key, payload, created_at)
        SELECT lane, company, event_id, topic, key, payload, created_at FROM outbox_v1 ORDER BY id""",
    "DROP TABLE outbox_v1",
)
"""The same without row churn: rows are never updated or deleted, a segment is emptied whole (ADR 21).

A lane tells what of it is published: all that was visible in the snapshot `done` and, while more than a batch
is on its way, what is visible in `upto` up to the id `position`. So that what is published is not looked
through again, ids below `floor` are done with. A transaction has its xid before its first id (that is what
the CASE is for): the highest id at some moment is a floor as soon as all transactions of that moment have
ended, which is when none below the xid `next_floor_after` runs.

Segments take turns of 20 seconds. The release before runs on it as well: it deletes what it publishes.
"""
