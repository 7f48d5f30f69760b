-- Queries of the simulator. Its tables know no company: the provider does not either.

-- name: record_sends
-- Sends that were received, in one statement: those that are new. There are none after an unclear commit that was one.
INSERT INTO sends (id, tracker, phone_number_id, wamid, received_at)
SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:trackers AS text[]), CAST(:numbers AS text[]),
                     CAST(:wamids AS text[]), CAST(:times AS timestamptz[]))
ON CONFLICT DO NOTHING RETURNING id

-- name: plan_callbacks
-- What will be reported of them, and when.
INSERT INTO callbacks (send_id, place, due_at, phone_number_id, status)
SELECT * FROM unnest(CAST(:sends AS uuid[]), CAST(:places AS smallint[]), CAST(:times AS timestamptz[]),
                     CAST(:numbers AS text[]), CAST(:statuses AS jsonb[]))

-- name: take_callbacks
-- Reports whose time has come, unless another replica is posting: one does at a time, so that no row has to be locked,
-- which would be one more write of each.
WITH turn AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(7073) AS ours)
DELETE FROM callbacks WHERE (SELECT ours FROM turn) AND ctid = ANY(ARRAY(
    SELECT ctid FROM callbacks WHERE due_at <= now() ORDER BY due_at LIMIT :most))
RETURNING send_id, place, due_at, attempts, phone_number_id, CAST(status AS text) AS status

-- name: postpone_callbacks
-- Reports that were not answered with 200: again later, and later each time.
INSERT INTO callbacks (send_id, place, due_at, attempts, phone_number_id, status)
SELECT send_id, place, now() + make_interval(secs => delay), attempts, phone_number_id, status
FROM unnest(CAST(:sends AS uuid[]), CAST(:places AS smallint[]), CAST(:delays AS float8[]), CAST(:attempts AS int[]),
            CAST(:numbers AS text[]), CAST(:statuses AS jsonb[]))
    AS d (send_id, place, delay, attempts, phone_number_id, status)

-- name: count_received
-- How often each of these messages was received.
SELECT tracker, count(*) AS received FROM sends WHERE tracker = ANY(CAST(:trackers AS text[])) GROUP BY tracker

-- name: receipts
-- When each of these messages was received, the first time first.
SELECT tracker, received_at FROM sends WHERE tracker = ANY(CAST(:trackers AS text[])) ORDER BY received_at

-- name: summary
-- The whole ledger in one line.
SELECT (SELECT count(*) FROM sends) AS received, (SELECT count(DISTINCT tracker) FROM sends) AS messages,
       (SELECT count(*) FROM callbacks) AS callbacks_waiting

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
