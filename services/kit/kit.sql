-- Queries of the kit, on the tables of schema.py.

-- name: outbox_add
-- Events written in the business transaction.
INSERT INTO outbox (lane, company, event_id, topic, key, payload)
SELECT * FROM unnest(CAST(:lanes AS smallint[]), CAST(:companies AS text[]), CAST(:event_ids AS uuid[]),
                     CAST(:topics AS text[]), CAST(:keys AS text[]), CAST(:payloads AS bytea[]))

-- name: outbox_claim_lanes
-- Lanes that hold events and that no other relay has: the locks last as long as the transaction.
SELECT l.lane FROM outbox_lane l
WHERE EXISTS (SELECT FROM outbox o WHERE o.lane = l.lane)
ORDER BY random() LIMIT :lanes
FOR UPDATE OF l SKIP LOCKED

-- name: outbox_read
-- The oldest events of the claimed lanes.
SELECT id, lane, topic, key, payload FROM outbox WHERE lane = ANY(CAST(:lanes AS smallint[])) ORDER BY id LIMIT :most

-- name: outbox_delete
-- Events that the brokers have acknowledged.
DELETE FROM outbox WHERE lane = ANY(CAST(:lanes AS smallint[])) AND id = ANY(CAST(:ids AS bigint[]))

-- name: outbox_age
-- How many events wait (counted up to a bound), and for how many seconds the oldest has.
SELECT count(*) AS waiting, coalesce(extract(epoch FROM now() - min(created_at)), 0) AS seconds
FROM (SELECT created_at FROM outbox LIMIT 10000) AS counted

-- name: inbox_add
-- The events that are seen for the first time. Inserted in one order everywhere, so that two consumers never deadlock.
INSERT INTO inbox (company, event_id)
SELECT company, event_id FROM unnest(CAST(:companies AS text[]), CAST(:event_ids AS uuid[])) AS e (company, event_id)
ORDER BY company, event_id
ON CONFLICT DO NOTHING RETURNING event_id

-- name: inbox_purge
-- Forget events that no broker keeps any more.
DELETE FROM inbox WHERE seen_at < now() - make_interval(secs => :seconds)

-- name: park
-- A record that could not be handled.
INSERT INTO parked (topic, partition, position, key, payload, reason)
VALUES (:topic, :partition, :position, :key, :payload, :reason) ON CONFLICT DO NOTHING
