-- Queries of the kit, on the tables of schema.py.

-- name: outbox_add
-- Events written in the business transaction.
INSERT INTO outbox (lane, company, event_id, topic, key, payload, traceparent)
SELECT *, :traceparent FROM unnest(
    CAST(:lanes AS smallint[]), CAST(:companies AS text[]), CAST(:event_ids AS uuid[]),
    CAST(:topics AS text[]), CAST(:keys AS text[]), CAST(:payloads AS bytea[]))

-- name: outbox_claim_lanes
-- Lanes that hold events and that no other relay has: the locks last as long as the transaction. Each lane is
-- looked into by its index and no further than the first event, which EXISTS would leave to statistics.
SELECT l.lane, (SELECT last_value FROM outbox_ids) AS highest FROM outbox_lane l CROSS JOIN LATERAL (
    SELECT FROM outbox o
    WHERE o.lane = l.lane AND o.id >= l.floor AND NOT pg_visible_in_snapshot(o.xid, l.done)
    ORDER BY o.id LIMIT 1) e
ORDER BY random() LIMIT :lanes
FOR UPDATE OF l SKIP LOCKED

-- name: outbox_read
-- The oldest events of the claimed lanes, and how far they reach: a row without event for a lane that has none.
SELECT l.lane, CAST(coalesce(l.upto, pg_current_snapshot()) AS text) AS upto,
       e.id, e.topic, e.key, e.payload, e.traceparent
FROM outbox_lane l LEFT JOIN LATERAL (
    SELECT o.id, o.topic, o.key, o.payload, o.traceparent FROM outbox o
    WHERE o.lane = l.lane AND o.id >= l.floor AND o.id > l.position
      AND NOT pg_visible_in_snapshot(o.xid, l.done)
      AND (l.upto IS NULL OR pg_visible_in_snapshot(o.xid, l.upto))
    ORDER BY o.id LIMIT :most) e ON true
WHERE l.lane = ANY(CAST(:lanes AS smallint[]))
ORDER BY e.id

-- name: outbox_advance
-- What the brokers have acknowledged: the beginning of what `upto` shows, up to the position.
UPDATE outbox_lane l SET upto = CAST(p.upto AS pg_snapshot), position = p.position
FROM unnest(CAST(:lanes AS smallint[]), CAST(:uptos AS text[]), CAST(:positions AS bigint[]))
     AS p (lane, upto, position)
WHERE l.lane = p.lane

-- name: outbox_finish
-- What the brokers have acknowledged: all that `upto` shows. `highest` was allocated before that was taken.
UPDATE outbox_lane l SET
    done = p.upto, upto = NULL, position = 0,
    floor = CASE WHEN p.ended THEN l.next_floor ELSE l.floor END,
    next_floor = CASE WHEN p.ended AND l.upto IS NULL THEN :highest ELSE l.next_floor END,
    next_floor_after = CASE WHEN p.ended AND l.upto IS NULL THEN pg_snapshot_xmax(p.upto)
                            ELSE l.next_floor_after END
FROM (
    SELECT u.lane, u.upto, b.next_floor_after <= pg_snapshot_xmin(u.upto) AS ended
    FROM unnest(CAST(:lanes AS smallint[]), CAST(CAST(:uptos AS text[]) AS pg_snapshot[])) AS u (lane, upto)
    JOIN outbox_lane b ON b.lane = u.lane) p
WHERE l.lane = p.lane

-- name: outbox_waiting
-- How many events wait (counted up to a bound), and for how many seconds the oldest has.
SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(created_at)), 0) AS seconds
FROM (
    SELECT o.created_at FROM outbox_lane l JOIN outbox o ON o.lane = l.lane AND o.id >= l.floor
    AND o.id > l.position AND NOT pg_visible_in_snapshot(o.xid, l.done)
    LIMIT 10000) AS counted

-- name: outbox_oldest_segment
-- The segment whose turn is next, when it holds anything: its events are 20 seconds old or older.
SELECT segment FROM (SELECT (extract(epoch FROM clock_timestamp())::bigint / 20 + 1) % 3 AS segment) AS next
WHERE EXISTS (SELECT FROM outbox o WHERE o.segment = next.segment)

-- name: inbox_add
-- The events that are seen for the first time. Inserted in one order everywhere, so that two consumers never deadlock.
INSERT INTO inbox (company, event_id)
SELECT company, event_id FROM unnest(CAST(:companies AS text[]), CAST(:event_ids AS uuid[])) AS e (company, event_id)
ORDER BY company, event_id
ON CONFLICT DO NOTHING RETURNING event_id

-- name: inbox_purge
-- Forget events that no broker keeps any more.
DELETE FROM inbox WHERE seen_at < now() - make_interval(secs => :seconds)
