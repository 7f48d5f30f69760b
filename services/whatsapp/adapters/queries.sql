-- Queries of the whatsapp service.

-- name: assign_phone_number
-- Assign a number to the company that registers it first; return its owner.
INSERT INTO phone_numbers (phone_number_id, company) VALUES (:number, :company)
ON CONFLICT (phone_number_id) DO UPDATE SET company = phone_numbers.company RETURNING company

-- name: put_connection
-- Create or change a connection. Its token bucket stays, and so does a quota that the request leaves out.
INSERT INTO connections AS c (company, name, phone_number_id, rate, recipients_per_day)
VALUES (:company, :name, :number, :rate, :recipients_per_day)
ON CONFLICT (company, name) DO UPDATE SET phone_number_id = excluded.phone_number_id, rate = excluded.rate,
    recipients_per_day = CASE WHEN :keep_quota THEN c.recipients_per_day ELSE excluded.recipients_per_day END,
    quota_counted_at = '-infinity', suspended_until = NULL

-- name: select_connection
-- A connection, its recipients of the last 24 hours, and its pending messages, counted up to a limit.
SELECT c.phone_number_id, c.rate, c.throttle_factor, c.recipients_per_day, c.suspended_until,
       (SELECT count(*) FROM daily_recipients r
        WHERE r.company = c.company AND r.connection = c.name
          AND r.contacted_at > now() - interval '1 day') AS recipients_last_24h,
       (SELECT count(*) FROM (
           SELECT FROM messages m
           WHERE m.company = c.company AND m.connection = c.name AND m.queued_due_at IS NOT NULL
           LIMIT :count_limit) AS w) AS pending_messages
FROM connections c WHERE c.company = :company AND c.name = :name

-- name: store_requested
-- Queue requested messages. An existing one changes only if it is unsent and requested under a later run.
INSERT INTO messages AS m (company, message_id, campaign_id, contact_id, connection, recipient, text, run, priority,
                           send_before, expires_at, traceparent)
SELECT * FROM unnest(CAST(:companies AS text[]), CAST(:ids AS uuid[]), CAST(:campaigns AS text[]),
                     CAST(:contacts AS text[]), CAST(:connections AS text[]), CAST(:recipients AS text[]),
                     CAST(:texts AS text[]), CAST(:runs AS int[]), CAST(:priorities AS smallint[]),
                     CAST(:send_befores AS timestamptz[]), CAST(:expiries AS timestamptz[]),
                     CAST(:traceparents AS text[]))
ON CONFLICT (company, message_id) DO UPDATE
SET state = 'queued', traceparent = excluded.traceparent, run = excluded.run, send_before = excluded.send_before, expires_at = excluded.expires_at,
    due_at = now(), reason = NULL
WHERE m.state IN ('queued', 'returned') AND m.run < excluded.run

-- name: halt_runs
-- Halt these campaigns' runs: none of their queued messages is leased any more.
INSERT INTO halted_runs AS h (company, campaign_id, connection, run)
SELECT * FROM unnest(CAST(:companies AS text[]), CAST(:campaigns AS text[]), CAST(:connections AS text[]),
                     CAST(:runs AS int[]))
ON CONFLICT (company, campaign_id, connection) DO UPDATE
SET run = greatest(h.run, excluded.run), halted_at = now()

-- name: return_halted
-- Return queued messages of halted runs. A halt is checked for one day: no request is in flight longer.
WITH candidates AS (
    SELECT m.company, m.message_id FROM halted_runs h JOIN messages m
      ON m.company = h.company AND m.campaign_id = h.campaign_id AND m.connection = h.connection AND m.run <= h.run
    WHERE h.halted_at > now() - interval '1 day' AND m.queued_due_at IS NOT NULL
    LIMIT :batch_size FOR UPDATE OF m SKIP LOCKED)
UPDATE messages m SET state = 'returned'
FROM candidates c WHERE m.company = c.company AND m.message_id = c.message_id
RETURNING m.company, m.message_id, m.campaign_id, m.state, m.run

-- name: return_expired
-- End queued messages past their lifetime (`expired`, final) or send window (`returned`, until requested again).
-- ORDER BY follows the index: without it the plan scans all messages.
WITH candidates AS (
    SELECT m.company, m.message_id FROM messages m
    WHERE m.queued_due_at IS NOT NULL AND least(m.send_before, m.expires_at) <= now()
    ORDER BY least(m.send_before, m.expires_at) LIMIT :batch_size FOR UPDATE OF m SKIP LOCKED)
UPDATE messages m SET state = CASE WHEN m.expires_at <= now() THEN 'expired' ELSE 'returned' END
FROM candidates c WHERE m.company = c.company AND m.message_id = c.message_id
RETURNING m.company, m.message_id, m.campaign_id, m.state, m.run

-- name: return_if_halted
-- Return those of the given messages that are queued under a halted run.
UPDATE messages m SET state = 'returned'
FROM halted_runs h, unnest(CAST(:companies AS text[]), CAST(:ids AS uuid[])) AS w (company, message_id)
WHERE m.company = w.company AND m.message_id = w.message_id AND m.state = 'queued'
  AND m.company = h.company AND m.campaign_id = h.campaign_id AND m.connection = h.connection AND m.run <= h.run
RETURNING m.company, m.message_id, m.campaign_id, m.state, m.run

-- name: select_message_states
-- The states of the given messages, without those that are still queued or leased.
SELECT m.company, m.message_id, m.campaign_id, m.state, m.provider_id, m.code, m.reason, m.run
FROM unnest(CAST(:companies AS text[]), CAST(:ids AS uuid[])) AS w (company, message_id)
JOIN messages m USING (company, message_id) WHERE m.state NOT IN ('queued', 'leased')

-- name: connections_with_due_messages
-- Connections that have replies or campaign messages due, longest waiting first.
SELECT * FROM (
    SELECT c.company, c.name, c.refilled_at, EXISTS (
               SELECT FROM messages m WHERE m.company = c.company AND m.connection = c.name
                                        AND m.priority > 0 AND m.queued_due_at <= now()) AS replies,
           (c.recipients_per_day IS NULL OR c.recipients_left > 0
            OR c.quota_counted_at <= now() - make_interval(secs => :recount)) AND EXISTS (
               SELECT FROM messages m WHERE m.company = c.company AND m.connection = c.name
                                        AND m.priority = 0 AND m.queued_due_at <= now()) AS campaigns
    FROM connections c WHERE c.suspended_until IS NULL OR c.suspended_until <= now()) AS c
WHERE c.replies OR c.campaigns
ORDER BY c.replies DESC, c.refilled_at LIMIT :row_limit

-- name: lock_connections
-- Lock connections and return their token buckets and quotas. One lock order everywhere prevents deadlocks.
SELECT c.company, c.name, c.phone_number_id, coalesce(c.rate, :rate) AS rate, c.throttle_factor, c.tokens,
       c.refilled_at, c.suspended_until, clock_timestamp() AS now,
       CASE WHEN c.recipients_per_day IS NULL THEN NULL
            WHEN c.quota_counted_at > now() - make_interval(secs => :recount) THEN c.recipients_left
            ELSE c.recipients_per_day - (
                SELECT count(*) FROM daily_recipients r
                WHERE r.company = c.company AND r.connection = c.name
                  AND r.contacted_at > now() - interval '1 day') END AS recipients_left
FROM connections c
JOIN unnest(CAST(:companies AS text[]), CAST(:names AS text[])) AS t (company, name) USING (company, name)
ORDER BY c.company, c.name FOR UPDATE OF c

-- name: lease_messages
-- Lease due messages of each connection, by priority, then age: as many as its share, within its priority range,
-- none of halted runs or past their time. The send attempts start now: no other dispatcher can lease these messages.
WITH picked AS (
    SELECT q.company, q.message_id, s.phone_number_id
    FROM unnest(CAST(:companies AS text[]), CAST(:connections AS text[]), CAST(:numbers AS text[]),
                CAST(:shares AS int[]), CAST(:min_priorities AS smallint[]), CAST(:max_priorities AS smallint[]))
        AS s (company, connection, phone_number_id, share, min_priority, max_priority)
    CROSS JOIN LATERAL (
        SELECT m.company, m.message_id FROM messages m
        WHERE m.company = s.company AND m.connection = s.connection AND m.queued_due_at <= now()
          AND m.priority BETWEEN s.min_priority AND s.max_priority
          AND least(m.send_before, m.expires_at) > clock_timestamp() IS NOT FALSE AND NOT EXISTS (
            SELECT FROM halted_runs h WHERE h.company = m.company AND h.campaign_id = m.campaign_id
                                        AND h.connection = m.connection AND h.run >= m.run)
        ORDER BY m.priority DESC, m.queued_due_at LIMIT s.share FOR UPDATE SKIP LOCKED) AS q)
UPDATE messages m
SET state = 'leased', epoch = m.epoch + 1, attempted_at = clock_timestamp(),
    lease_expires_at = clock_timestamp() + make_interval(secs => :lease_seconds)
FROM picked p WHERE m.company = p.company AND m.message_id = p.message_id
RETURNING m.company, m.message_id, m.campaign_id, m.connection, p.phone_number_id, m.recipient, m.text, m.epoch,
          m.attempts, m.priority, m.traceparent, extract(epoch FROM clock_timestamp() - m.due_at) AS waited_seconds

-- name: record_daily_recipients
-- Record the recipients that connections with a quota are about to contact.
INSERT INTO daily_recipients AS r (company, connection, recipient)
SELECT DISTINCT * FROM unnest(CAST(:companies AS text[]), CAST(:connections AS text[]), CAST(:recipients AS text[]))
ON CONFLICT (company, connection, recipient) DO UPDATE SET contacted_at = now()

-- name: purge_daily_recipients
-- Delete recipients contacted more than 24 hours ago.
DELETE FROM daily_recipients WHERE contacted_at <= now() - interval '1 day'

-- name: select_reply_load
-- What the waiting time of a reply depends on: rate, suspension, and the replies ahead, counted up to a limit.
SELECT c.rate, c.throttle_factor,
       greatest(0, extract(epoch FROM c.suspended_until - now()))::float8 AS suspended_seconds,
       (SELECT count(*) FROM (
           SELECT FROM messages m
           WHERE m.company = c.company AND m.connection = c.name AND m.queued_due_at IS NOT NULL
             AND m.priority >= :priority LIMIT :count_limit) AS ahead) AS replies_ahead
FROM connections c WHERE c.company = :company AND c.name = :connection

-- name: add_reply
-- Queue a reply unless it exists.
INSERT INTO messages (company, message_id, campaign_id, contact_id, connection, recipient, text, priority, expires_at,
                      traceparent)
VALUES (:company, :id, '', '', :connection, :recipient, :text, :priority, now() + make_interval(secs => :ttl_seconds),
        :traceparent)
ON CONFLICT (company, message_id) DO NOTHING

-- name: select_message
-- A message and its state.
SELECT connection, recipient, text, state, code, reason, requested_at, accepted_at, sent_at, delivered_at, read_at, failed_at
FROM messages WHERE company = :company AND message_id = :id

-- name: save_token_buckets
-- Save token buckets and quotas after a lease.
UPDATE connections c SET tokens = b.tokens, throttle_factor = b.throttle_factor, refilled_at = b.refilled_at,
    recipients_left = coalesce(b.recipients_left, 0),
    quota_counted_at = CASE WHEN c.quota_counted_at > now() - make_interval(secs => :recount)
                            THEN c.quota_counted_at ELSE now() END
FROM unnest(CAST(:companies AS text[]), CAST(:names AS text[]), CAST(:tokens AS float8[]),
            CAST(:throttle_factors AS float8[]), CAST(:times AS timestamptz[]), CAST(:recipients_left AS int[]))
    AS b (company, name, tokens, throttle_factor, refilled_at, recipients_left)
WHERE c.company = b.company AND c.name = b.name

-- name: save_attempt_results
-- Save results of attempts. A result of an older epoch, or for a message that a webhook has advanced, changes nothing.
WITH results AS (
    SELECT * FROM unnest(CAST(:companies AS text[]), CAST(:ids AS uuid[]), CAST(:epochs AS int[]),
                         CAST(:states AS text[]), CAST(:provider_ids AS text[]), CAST(:codes AS int[]),
                         CAST(:reasons AS text[]), CAST(:delays AS float8[]))
        AS r (company, message_id, epoch, state, provider_id, code, reason, delay)),
locked AS (
    SELECT m.company, m.message_id FROM messages m JOIN results r USING (company, message_id)
    ORDER BY m.company, m.message_id FOR UPDATE OF m)
UPDATE messages m
SET state = r.state, provider_id = coalesce(r.provider_id, m.provider_id), code = r.code, reason = r.reason,
    lease_expires_at = NULL, attempts = m.attempts + 1, due_at = now() + make_interval(secs => r.delay),
    attempted_at = CASE WHEN r.state = 'queued' THEN NULL ELSE m.attempted_at END,
    accepted_at = CASE WHEN r.state = 'accepted' THEN now() ELSE m.accepted_at END,
    failed_at = CASE WHEN r.state = 'failed' THEN now() ELSE m.failed_at END
FROM results r JOIN locked l USING (company, message_id)
WHERE m.company = r.company AND m.message_id = r.message_id AND m.epoch = r.epoch
  AND m.state IN ('leased', 'uncertain') AND m.state <> r.state
RETURNING m.company, m.message_id

-- name: throttle_connections
-- Halve the throttle factor, at most once a second: throttled responses arrive in bursts.
UPDATE connections c SET throttle_factor = greatest(c.throttle_factor / 2, :min_factor), throttled_at = now()
FROM unnest(CAST(:companies AS text[]), CAST(:names AS text[])) AS s (company, name)
WHERE c.company = s.company AND c.name = s.name AND c.throttled_at < now() - interval '1 second'

-- name: suspend_connections
-- Suspend sending from these connections.
UPDATE connections c SET suspended_until = greatest(c.suspended_until, now() + make_interval(secs => h.seconds)),
    suspension_code = h.code
FROM unnest(CAST(:companies AS text[]), CAST(:names AS text[]), CAST(:seconds AS float8[]), CAST(:codes AS int[]))
    AS h (company, name, seconds, code)
WHERE c.company = h.company AND c.name = h.name

-- name: mark_expired_uncertain
-- Mark attempts uncertain whose lease expired without a result: the outcome is unknown, so they are never retried.
UPDATE messages m SET state = 'uncertain', lease_expires_at = NULL, reason = :reason
FROM (SELECT company, message_id FROM messages
      WHERE state = 'leased' AND lease_expires_at < now()
      LIMIT :batch_size FOR UPDATE SKIP LOCKED) AS expired
WHERE m.company = expired.company AND m.message_id = expired.message_id
RETURNING m.company, m.message_id, m.campaign_id

-- name: store_webhook
-- Store a webhook as received.
INSERT INTO webhook_deliveries (body, traceparent) VALUES (:body, :traceparent)

-- name: lock_pending_webhooks
-- Lock the oldest unprocessed webhooks that no other processor has locked.
SELECT id, body, traceparent FROM webhook_deliveries
WHERE processed_at IS NULL ORDER BY id LIMIT :batch_size FOR UPDATE SKIP LOCKED

-- name: resolve_webhook_statuses
-- The message of each status whose phone number is known, by the client reference that the provider echoes.
SELECT r.ordinal, n.company, r.client_reference AS message_id
FROM unnest(CAST(:ordinals AS int[]), CAST(:numbers AS text[]), CAST(:client_references AS uuid[]))
    AS r (ordinal, phone_number_id, client_reference)
JOIN phone_numbers n ON n.phone_number_id = r.phone_number_id

-- name: lock_delivery_states
-- Lock messages and return their delivery states. One lock order everywhere prevents deadlocks.
SELECT m.company, m.message_id, m.campaign_id, m.state, m.provider_id, m.code, m.sent_at, m.delivered_at, m.read_at,
       m.failed_at, m.traceparent, extract(epoch FROM clock_timestamp() - m.attempted_at) AS attempt_age_seconds
FROM messages m
JOIN unnest(CAST(:companies AS text[]), CAST(:ids AS uuid[])) AS r (company, message_id) USING (company, message_id)
ORDER BY m.company, m.message_id FOR UPDATE OF m

-- name: save_delivery_states
-- Save messages after their status updates.
UPDATE messages m
SET state = r.state, provider_id = r.provider_id, code = r.code, sent_at = r.sent_at, delivered_at = r.delivered_at,
    read_at = r.read_at, failed_at = r.failed_at,
    lease_expires_at = CASE WHEN r.state = 'leased' THEN m.lease_expires_at END
FROM unnest(CAST(:companies AS text[]), CAST(:ids AS uuid[]), CAST(:states AS text[]), CAST(:provider_ids AS text[]),
            CAST(:codes AS int[]), CAST(:sent AS timestamptz[]), CAST(:delivered AS timestamptz[]),
            CAST(:read AS timestamptz[]), CAST(:failed AS timestamptz[]))
    AS r (company, message_id, state, provider_id, code, sent_at, delivered_at, read_at, failed_at)
WHERE m.company = r.company AND m.message_id = r.message_id

-- name: oldest_pending_webhook
-- Age of the oldest unprocessed webhook in seconds.
SELECT extract(epoch FROM now() - received_at) AS age_seconds
FROM webhook_deliveries WHERE processed_at IS NULL ORDER BY id LIMIT 1

-- name: connection_states
-- Connections by the code of the error that suspends them, and by whether they were throttled lately.
SELECT CASE WHEN suspended_until > now() THEN coalesce(suspension_code, 0) END AS suspension_code,
       throttle_factor < 1 AND throttled_at > now() - interval '5 minutes' AS throttled, count(*) AS connections
FROM connections GROUP BY 1, 2

-- name: oldest_due_messages
-- The longest waiting reply and campaign message of the connections that may send, and the longest time since such a
-- connection was last leased from.
SELECT coalesce(max(r.age), 0) AS reply_age, coalesce(max(m.age), 0) AS campaign_age,
       coalesce(max(least(greatest(r.age, m.age), extract(epoch FROM now() - c.refilled_at)))
                FILTER (WHERE r.age IS NOT NULL OR m.age IS NOT NULL), 0) AS connection_wait
FROM connections c
LEFT JOIN LATERAL (
    SELECT extract(epoch FROM now() - q.queued_due_at) AS age FROM messages q
    WHERE q.company = c.company AND q.connection = c.name AND q.priority = 1 AND q.queued_due_at <= now()
    ORDER BY q.queued_due_at LIMIT 1) r ON true
LEFT JOIN LATERAL (
    SELECT extract(epoch FROM now() - q.queued_due_at) AS age FROM messages q
    WHERE q.company = c.company AND q.connection = c.name AND q.priority = 0 AND q.queued_due_at <= now()
      AND (c.recipients_per_day IS NULL OR c.recipients_left > 0)
    ORDER BY q.queued_due_at LIMIT 1) m ON true
WHERE c.suspended_until IS NULL OR c.suspended_until <= now()

-- name: mark_webhooks_processed
-- Mark webhooks as processed; `parse_error` is set for malformed ones.
UPDATE webhook_deliveries w SET processed_at = now(), parse_error = d.parse_error
FROM unnest(CAST(:ids AS bigint[]), CAST(:parse_errors AS text[])) AS d (id, parse_error) WHERE w.id = d.id

-- name: purge_webhooks
-- Delete webhooks that were processed before the retention time.
DELETE FROM webhook_deliveries WHERE processed_at < now() - make_interval(secs => :retention_seconds)
