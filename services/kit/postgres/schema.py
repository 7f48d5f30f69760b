"""Statements that create the outbox and inbox tables; migration `0001_initial` of a service executes them.

The outbox is a queue of the service, not data of a company, so its index does not begin with the company.
"""

from __future__ import annotations

OUTBOX = (
    "CREATE SEQUENCE outbox_ids",
    """CREATE TABLE outbox (
        shard smallint NOT NULL,
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
    "CREATE INDEX outbox_shard_id ON outbox (shard, id)",
    """CREATE TABLE outbox_shard (
        shard smallint PRIMARY KEY,
        published_snapshot pg_snapshot NOT NULL DEFAULT '1:1:',
        batch_snapshot pg_snapshot,
        batch_position bigint NOT NULL DEFAULT 0,
        min_id bigint NOT NULL DEFAULT 0,
        next_min_id bigint NOT NULL DEFAULT 0,
        next_min_id_after_xid xid8 NOT NULL DEFAULT '0'
    )""",
    "INSERT INTO outbox_shard SELECT generate_series(0, 7)",
)
"""Events to publish. Rows are never updated or deleted; a published segment is truncated (ADR 21).

Keys whose order matters share a shard; one relay at a time locks a shard. `outbox_shard` is the publication
cursor of each shard: published is everything visible in `published_snapshot` and, while more than one batch
is being published, everything visible in `batch_snapshot` up to the id `batch_position`. Ids below `min_id`
are published, so that they are not scanned again. A transaction has its xid before its first id (that is what
the CASE ensures): the highest id at some moment becomes `min_id` as soon as all transactions of that moment
have ended, which is when none below the xid `next_min_id_after_xid` runs.

New rows go to another segment every 20 seconds, in rotation.
"""

INBOX = (
    """CREATE TABLE inbox (
        company text NOT NULL,
        event_id uuid NOT NULL,
        seen_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (company, event_id)
    )""",
    "CREATE INDEX inbox_seen_at_brin ON inbox USING brin (seen_at)",
)
"""Ids of processed events (idempotent consumer)."""
