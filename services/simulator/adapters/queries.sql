-- Queries of the simulator. Its tables have no company: the provider does not know it either.

-- name: record_messages
-- Save received messages; return the new ones. A repeated write after an unknown commit returns none if it succeeded.
INSERT INTO received_messages (id, client_reference, phone_number_id, wamid, received_at)
SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:client_references AS text[]), CAST(:numbers AS text[]),
                     CAST(:wamids AS text[]), CAST(:times AS timestamptz[]))
ON CONFLICT DO NOTHING RETURNING id

-- name: schedule_webhooks
-- Schedule statuses. A row holds all statuses of one second: few rows are written, and few deleted.
INSERT INTO scheduled_webhooks (due_at, statuses)
SELECT * FROM unnest(CAST(:times AS timestamptz[]), CAST(:statuses AS json[]))

-- name: take_due_webhooks
-- Delete and return due rows unless another replica posts. One replica at a time does, so that no row is locked,
-- which would cost another write per row.
WITH lock AS MATERIALIZED (SELECT pg_try_advisory_xact_lock(7073) AS acquired)
DELETE FROM scheduled_webhooks WHERE (SELECT acquired FROM lock) AND ctid = ANY(ARRAY(
    SELECT ctid FROM scheduled_webhooks WHERE due_at <= now() ORDER BY due_at LIMIT :row_limit))
RETURNING due_at, attempts, CAST(statuses AS text) AS statuses

-- name: postpone_webhooks
-- Schedule failed webhooks again, with a growing delay.
INSERT INTO scheduled_webhooks (due_at, attempts, statuses)
SELECT now() + make_interval(secs => delay), attempts, statuses
FROM unnest(CAST(:delays AS float8[]), CAST(:attempts AS int[]), CAST(:statuses AS json[]))
    AS d (delay, attempts, statuses)

-- name: count_received
-- How often each of these messages was received.
SELECT client_reference, count(*) AS received FROM received_messages
WHERE client_reference = ANY(CAST(:client_references AS text[])) GROUP BY client_reference

-- name: select_receipt_times
-- When each of these messages was received, oldest first.
SELECT client_reference, received_at FROM received_messages
WHERE client_reference = ANY(CAST(:client_references AS text[])) ORDER BY received_at

-- name: ledger_summary
-- Counts of the whole ledger.
SELECT (SELECT count(*) FROM received_messages) AS received,
       (SELECT count(DISTINCT client_reference) FROM received_messages) AS messages,
       (SELECT coalesce(sum(json_array_length(statuses)), 0) FROM scheduled_webhooks) AS pending_webhooks

-- name: select_fault_config
-- The configuration set at run time, if any.
SELECT CAST(document AS text) AS document FROM fault_config

-- name: set_fault_config
-- Replace the configuration for all replicas.
INSERT INTO fault_config (document) VALUES (CAST(:document AS jsonb))
ON CONFLICT (singleton) DO UPDATE SET document = excluded.document, set_at = now()

-- name: reset_fault_config
-- Return to the configuration of the settings.
DELETE FROM fault_config
