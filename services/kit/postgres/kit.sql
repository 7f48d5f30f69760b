-- Queries on the tables of schema.py.

-- name: outbox_add
-- Add events within the business transaction.
INSERT INTO outbox (shard, company, event_id, topic, key, payload, traceparent)
SELECT *, :traceparent FROM unnest(
    CAST(:shards AS smallint[]), CAST(:companies AS text[]), CAST(:event_ids AS uuid[]),
    CAST(:topics AS text[]), CAST(:keys AS text[]), CAST(:payloads AS bytea[]))

-- name: outbox_claim_shards
-- Lock shards that have pending events and no other relay; the locks last until the end of the transaction. Each
-- shard is read through its index up to the first event: with EXISTS the plan would depend on statistics.
SELECT s.shard, (SELECT last_value FROM outbox_ids) AS highest_id FROM outbox_shard s CROSS JOIN LATERAL (
    SELECT FROM outbox o
    WHERE o.shard = s.shard AND o.id >= s.min_id AND NOT pg_visible_in_snapshot(o.xid, s.published_snapshot)
    ORDER BY o.id LIMIT 1) e
ORDER BY random() LIMIT :shards
FOR UPDATE OF s SKIP LOCKED

-- name: outbox_read
-- The oldest events of the locked shards, and the snapshot they are read in; a shard without events yields one row
-- without an event.
SELECT s.shard, CAST(coalesce(s.batch_snapshot, pg_current_snapshot()) AS text) AS snapshot,
       e.id, e.topic, e.key, e.payload, e.traceparent
FROM outbox_shard s LEFT JOIN LATERAL (
    SELECT o.id, o.topic, o.key, o.payload, o.traceparent FROM outbox o
    WHERE o.shard = s.shard AND o.id >= s.min_id AND o.id > s.batch_position
      AND NOT pg_visible_in_snapshot(o.xid, s.published_snapshot)
      AND (s.batch_snapshot IS NULL OR pg_visible_in_snapshot(o.xid, s.batch_snapshot))
    ORDER BY o.id LIMIT :limit_per_shard) e ON true
WHERE s.shard = ANY(CAST(:shards AS smallint[]))
ORDER BY e.id

-- name: outbox_checkpoint_batch
-- Save that the brokers acknowledged the events of a snapshot up to a position.
UPDATE outbox_shard s SET batch_snapshot = CAST(p.snapshot AS pg_snapshot), batch_position = p.position
FROM unnest(CAST(:shards AS smallint[]), CAST(:snapshots AS text[]), CAST(:positions AS bigint[]))
     AS p (shard, snapshot, position)
WHERE s.shard = p.shard

-- name: outbox_complete_snapshot
-- Save that the brokers acknowledged all events of a snapshot. `highest_id` was allocated before the snapshot.
UPDATE outbox_shard s SET
    published_snapshot = p.snapshot, batch_snapshot = NULL, batch_position = 0,
    min_id = CASE WHEN p.ended THEN s.next_min_id ELSE s.min_id END,
    next_min_id = CASE WHEN p.ended AND s.batch_snapshot IS NULL THEN :highest_id ELSE s.next_min_id END,
    next_min_id_after_xid = CASE WHEN p.ended AND s.batch_snapshot IS NULL THEN pg_snapshot_xmax(p.snapshot)
                                 ELSE s.next_min_id_after_xid END
FROM (
    SELECT u.shard, u.snapshot, c.next_min_id_after_xid <= pg_snapshot_xmin(u.snapshot) AS ended
    FROM unnest(CAST(:shards AS smallint[]), CAST(CAST(:snapshots AS text[]) AS pg_snapshot[]))
         AS u (shard, snapshot)
    JOIN outbox_shard c ON c.shard = u.shard) p
WHERE s.shard = p.shard

-- name: outbox_pending
-- Number of pending events (counted up to a limit), and the age of the oldest in seconds.
SELECT count(*) AS events, coalesce(extract(epoch FROM now() - min(created_at)), 0) AS oldest_age_seconds
FROM (
    SELECT o.created_at FROM outbox_shard s JOIN outbox o ON o.shard = s.shard AND o.id >= s.min_id
    AND o.id > s.batch_position AND NOT pg_visible_in_snapshot(o.xid, s.published_snapshot)
    LIMIT 10000) AS counted

-- name: outbox_oldest_segment
-- The segment that is written next, unless it is empty: its events are at least 20 seconds old.
-- LATERAL reads the first event of that segment; EXISTS reads all events of all segments.
SELECT segment FROM (SELECT (extract(epoch FROM clock_timestamp())::bigint / 20 + 1) % 3 AS segment) AS next
CROSS JOIN LATERAL (SELECT FROM outbox o WHERE o.segment = next.segment LIMIT 1) AS event

-- name: outbox_unpublished
-- An event of a segment that is not published, if there is one.
SELECT o.id FROM outbox o JOIN outbox_shard s ON s.shard = o.shard
WHERE o.segment = :segment AND NOT pg_visible_in_snapshot(o.xid, s.published_snapshot) LIMIT 1

-- name: inbox_add
-- Record events; return the ids of new ones. Inserted in one order everywhere, so that two consumers never deadlock.
INSERT INTO inbox (company, event_id)
SELECT company, event_id FROM unnest(CAST(:companies AS text[]), CAST(:event_ids AS uuid[])) AS e (company, event_id)
ORDER BY company, event_id
ON CONFLICT DO NOTHING RETURNING event_id

-- name: inbox_purge
-- Delete ids of events that no topic retains any more.
DELETE FROM inbox WHERE seen_at < now() - make_interval(secs => :retention_seconds)
