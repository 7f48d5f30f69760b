-- Queries of the simulator. Its tables know no company: the provider does not either.

-- name: record_sends
-- Sends that were received, in one statement: those that are new. There are none after an unclear commit that was one.
INSERT INTO sends (id, tracker, phone_number_id, wamid, received_at)
SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:trackers AS text[]), CAST(:numbers AS text[]),
                     CAST(:wamids AS text[]), CAST(:times AS timestamptz[]))
ON CONFLICT DO NOTHING RETURNING id

-- name: plan_callbacks
-- What will be told, and when. A row holds all of a moment: few rows are written, and few taken out again.
INSERT INTO due_callbacks (due_at, statuses)
SELECT * FROM unnest(CAST(:times AS timestamptz[]), CAST(:statuses AS json[]))

-- name: take_callbacks
-- What is due, unless another replica is posting: one does at a time, so that no row has to be locked, which would be
-- one more write of each.
WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(7073) AS ours)
DELETE FROM due_callbacks WHERE (SELECT ours FROM turn) AND ctid = ANY(ARRAY(
    SELECT ctid FROM due_callbacks WHERE due_at <= now() ORDER BY due_at LIMIT :most))
RETURNING due_at, attempts, CAST(statuses AS text) AS statuses

-- name: postpone_callbacks
-- What was not answered with 200: again later, and later each time.
INSERT INTO due_callbacks (due_at, attempts, statuses)
SELECT now() + make_interval(secs => delay), attempts, statuses
FROM unnest(CAST(:delays AS float8[]), CAST(:attempts AS int[]), CAST(:statuses AS json[]))
    AS d (delay, attempts, statuses)

-- name: count_received
-- How often each of these messages was received.
SELECT tracker, count(*) AS received FROM sends WHERE tracker = ANY(CAST(:trackers AS text[])) GROUP BY tracker

-- name: receipts
-- When each of these messages was received, the first time first.
SELECT tracker, received_at FROM sends WHERE tracker = ANY(CAST(:trackers AS text[])) ORDER BY received_at

-- name: summary
-- The whole ledger in one line.
SELECT (SELECT count(*) FROM sends) AS received, (SELECT count(DISTINCT tracker) FROM sends) AS messages,
       (SELECT coalesce(sum(json_array_length(statuses)), 0) FROM due_callbacks) AS callbacks_waiting

-- name: behaviour
-- What was set while running, if anything.
SELECT CAST(document AS text) AS document FROM behaviour

-- name: set_behaviour
-- Replaces it for all replicas.
INSERT INTO behaviour (document) VALUES (CAST(:document AS jsonb))
ON CONFLICT (only_row) DO UPDATE SET document = excluded.document, set_at = now()

-- name: reset_behaviour
-- Back to the settings.
DELETE FROM behaviour
