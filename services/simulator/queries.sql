-- Queries of the simulator. Its tables know no company: the provider does not either.

-- name: record_sends
-- Sends that were received, in one statement. Repeating it after an unclear commit changes nothing.
INSERT INTO sends (id, tracker, phone_number_id, wamid, received_at)
SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:trackers AS text[]), CAST(:numbers AS text[]),
                     CAST(:wamids AS text[]), CAST(:times AS timestamptz[]))
ON CONFLICT DO NOTHING

-- name: plan_callbacks
-- What will be reported of them, and when.
INSERT INTO callbacks (send_id, place, due_at, phone_number_id, status)
SELECT * FROM unnest(CAST(:sends AS uuid[]), CAST(:places AS smallint[]), CAST(:times AS timestamptz[]),
                     CAST(:numbers AS text[]), CAST(:statuses AS jsonb[]))
ON CONFLICT DO NOTHING

-- name: due_callbacks
-- Reports whose time has come and that no other replica is posting: the locks last as long as the transaction.
SELECT send_id, place, attempts, phone_number_id, CAST(status AS text) AS status
FROM callbacks WHERE due_at <= now() ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED

-- name: forget_callbacks
-- Reports that were answered with 200.
DELETE FROM callbacks c USING unnest(CAST(:sends AS uuid[]), CAST(:places AS smallint[])) AS d (send_id, place)
WHERE c.send_id = d.send_id AND c.place = d.place

-- name: postpone_callbacks
-- Reports that were not: again later, and later each time.
UPDATE callbacks c SET attempts = c.attempts + 1, due_at = now() + make_interval(secs => d.delay)
FROM unnest(CAST(:sends AS uuid[]), CAST(:places AS smallint[]), CAST(:delays AS float8[])) AS d (send_id, place, delay)
WHERE c.send_id = d.send_id AND c.place = d.place

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
