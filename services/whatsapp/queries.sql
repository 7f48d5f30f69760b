-- Queries of the whatsapp service.

-- name: claim_number
-- A number belongs to the company that named it first.
INSERT INTO numbers (phone_number_id, company) VALUES (:number, :company)
ON CONFLICT (phone_number_id) DO UPDATE SET company = numbers.company RETURNING company

-- name: put_connection
-- Create or change a connection; its bucket stays as it is, and so does a quota that is not spoken of.
INSERT INTO connections AS c (company, name, phone_number_id, rate, quota)
VALUES (:company, :name, :number, :rate, :quota)
ON CONFLICT (company, name) DO UPDATE SET phone_number_id = excluded.phone_number_id, rate = excluded.rate,
    quota = CASE WHEN :keep_quota THEN c.quota ELSE excluded.quota END, counted_at = '-infinity', held_until = NULL

-- name: connection_read
-- A connection, whom it has reached within a day, and how much waits for it, counted up to a bound.
SELECT c.phone_number_id, c.rate, c.pace, c.quota, c.held_until,
       (SELECT count(*) FROM reached r
        WHERE r.company = c.company AND r.connection = c.name AND r.at > now() - interval '1 day') AS reached,
       (SELECT count(*) FROM (
           SELECT FROM messages m
           WHERE m.company = c.company AND m.connection = c.name AND m.queued_due_at IS NOT NULL
           LIMIT :most) AS w) AS waiting
FROM connections c WHERE c.company = :company AND c.name = :name

-- name: store_requested
-- Messages to be sent. One that is there stays as it is, unless it was not begun and is asked for under a later run.
INSERT INTO messages AS m (company, message_id, campaign_id, contact_id, connection, recipient, body, run, urgency,
                           not_after, expires_at)
SELECT * FROM unnest(CAST(:companies AS text[]), CAST(:ids AS uuid[]), CAST(:campaigns AS text[]),
                     CAST(:contacts AS text[]), CAST(:connections AS text[]), CAST(:recipients AS text[]),
                     CAST(:bodies AS text[]), CAST(:runs AS int[]), CAST(:urgencies AS smallint[]),
                     CAST(:not_afters AS timestamptz[]), CAST(:expiries AS timestamptz[]))
ON CONFLICT (company, message_id) DO UPDATE
SET state = 'queued', run = excluded.run, not_after = excluded.not_after, expires_at = excluded.expires_at,
    due_at = now(), reason = NULL
WHERE m.state IN ('queued', 'recalled') AND m.run < excluded.run

-- name: halt
-- From here on nothing of these campaigns' runs is begun.
INSERT INTO halts AS h (company, campaign_id, connection, run)
SELECT * FROM unnest(CAST(:companies AS text[]), CAST(:campaigns AS text[]), CAST(:connections AS text[]),
                     CAST(:runs AS int[]))
ON CONFLICT (company, campaign_id, connection) DO UPDATE
SET run = greatest(h.run, excluded.run), halted_at = now()

-- name: hand_back_halted
-- Messages that wait under a halted run. A halt is looked at for a day: longer nothing stays under way.
WITH back AS (
    SELECT m.company, m.message_id FROM halts h JOIN messages m
      ON m.company = h.company AND m.campaign_id = h.campaign_id AND m.connection = h.connection AND m.run <= h.run
    WHERE h.halted_at > now() - interval '1 day' AND m.queued_due_at IS NOT NULL
    LIMIT :most FOR UPDATE OF m SKIP LOCKED)
UPDATE messages m SET state = 'recalled'
FROM back b WHERE m.company = b.company AND m.message_id = b.message_id
RETURNING m.company, m.message_id, m.campaign_id, m.state, m.run

-- name: hand_back_late
-- Messages whose time is over before they were begun: for good, or until they are asked for again. In the order of
-- their index: in any other all messages there are would be looked through.
WITH back AS (
    SELECT m.company, m.message_id FROM messages m
    WHERE m.queued_due_at IS NOT NULL AND least(m.not_after, m.expires_at) <= now()
    ORDER BY least(m.not_after, m.expires_at) LIMIT :most FOR UPDATE OF m SKIP LOCKED)
UPDATE messages m SET state = CASE WHEN m.expires_at <= now() THEN 'expired' ELSE 'recalled' END
FROM back b WHERE m.company = b.company AND m.message_id = b.message_id
RETURNING m.company, m.message_id, m.campaign_id, m.state, m.run

-- name: hand_back_of_halted
-- Of these messages, those that are asked for under a run that is halted already.
UPDATE messages m SET state = 'recalled'
FROM halts h, unnest(CAST(:companies AS text[]), CAST(:ids AS uuid[])) AS w (company, message_id)
WHERE m.company = w.company AND m.message_id = w.message_id AND m.state = 'queued'
  AND m.company = h.company AND m.campaign_id = h.campaign_id AND m.connection = h.connection AND m.run <= h.run
RETURNING m.company, m.message_id, m.campaign_id, m.state, m.run

-- name: standing_of
-- Where messages are of which there was news to tell.
SELECT m.company, m.message_id, m.campaign_id, m.state, m.provider_id, m.code, m.reason, m.run
FROM unnest(CAST(:companies AS text[]), CAST(:ids AS uuid[])) AS w (company, message_id)
JOIN messages m USING (company, message_id) WHERE m.state NOT IN ('queued', 'claimed')

-- name: due_connections
-- Connections that have replies or messages of campaigns due, those first that waited longest.
SELECT * FROM (
    SELECT c.company, c.name, c.filled_at, EXISTS (
               SELECT FROM messages m WHERE m.company = c.company AND m.connection = c.name
                                        AND m.urgency > 0 AND m.queued_due_at <= now()) AS replies,
           (c.quota IS NULL OR c.quota_left > 0 OR c.counted_at <= now() - make_interval(secs => :recount)) AND EXISTS (
               SELECT FROM messages m WHERE m.company = c.company AND m.connection = c.name
                                        AND m.urgency = 0 AND m.queued_due_at <= now()) AS campaigns
    FROM connections c WHERE c.held_until IS NULL OR c.held_until <= now()) AS c
WHERE c.replies OR c.campaigns
ORDER BY c.replies DESC, c.filled_at LIMIT :most

-- name: hold_connections
-- Connections that are claimed from now on by nobody else, with their buckets; held in one order everywhere.
SELECT c.company, c.name, c.phone_number_id, coalesce(c.rate, :rate) AS rate, c.pace, c.tokens, c.filled_at,
       c.held_until, clock_timestamp() AS now,
       CASE WHEN c.quota IS NULL THEN NULL WHEN c.counted_at > now() - make_interval(secs => :recount) THEN c.quota_left
            ELSE c.quota - (SELECT count(*) FROM reached r WHERE r.company = c.company AND r.connection = c.name
                                                           AND r.at > now() - interval '1 day') END AS quota_left
FROM connections c
JOIN unnest(CAST(:companies AS text[]), CAST(:names AS text[])) AS t (company, name) USING (company, name)
ORDER BY c.company, c.name FOR UPDATE OF c

-- name: claim_messages
-- The oldest due messages of each connection, the most urgent first, as many as its share, within its range; not those
-- of halted runs or past their time. The calls are made now: from here on nobody else may make them.
WITH picked AS (
    SELECT q.company, q.message_id, s.phone_number_id
    FROM unnest(CAST(:companies AS text[]), CAST(:connections AS text[]), CAST(:numbers AS text[]),
                CAST(:shares AS int[]), CAST(:floors AS smallint[]), CAST(:ceilings AS smallint[]))
        AS s (company, connection, phone_number_id, share, floor, ceiling)
    CROSS JOIN LATERAL (
        SELECT m.company, m.message_id FROM messages m
        WHERE m.company = s.company AND m.connection = s.connection AND m.queued_due_at <= now()
          AND m.urgency BETWEEN s.floor AND s.ceiling
          AND least(m.not_after, m.expires_at) > clock_timestamp() IS NOT FALSE AND NOT EXISTS (
            SELECT FROM halts h WHERE h.company = m.company AND h.campaign_id = m.campaign_id
                                  AND h.connection = m.connection AND h.run >= m.run)
        ORDER BY m.urgency DESC, m.queued_due_at LIMIT s.share FOR UPDATE SKIP LOCKED) AS q)
UPDATE messages m
SET state = 'claimed', epoch = m.epoch + 1, attempted_at = clock_timestamp(),
    lease_until = clock_timestamp() + make_interval(secs => :lease)
FROM picked p WHERE m.company = p.company AND m.message_id = p.message_id
RETURNING m.company, m.message_id, m.campaign_id, m.connection, p.phone_number_id, m.recipient, m.body, m.epoch,
          m.attempts, m.urgency

-- name: reach
-- Whom connections with a quota are about to reach.
INSERT INTO reached AS r (company, connection, recipient)
SELECT DISTINCT * FROM unnest(CAST(:companies AS text[]), CAST(:connections AS text[]), CAST(:recipients AS text[]))
ON CONFLICT (company, connection, recipient) DO UPDATE SET at = now()

-- name: purge_reached
-- Forget who was reached longer than a day ago.
DELETE FROM reached WHERE at <= now() - interval '1 day'

-- name: reply_connection
-- A connection, and how many replies wait for it, counted up to a bound.
SELECT c.rate, c.pace, greatest(0, extract(epoch FROM c.held_until - now()))::float8 AS held,
       (SELECT count(*) FROM (
           SELECT FROM messages m
           WHERE m.company = c.company AND m.connection = c.name AND m.queued_due_at IS NOT NULL
             AND m.urgency >= :urgency LIMIT :most) AS ahead) AS ahead
FROM connections c WHERE c.company = :company AND c.name = :connection

-- name: reply_add
-- A reply to be sent, unless it is there.
INSERT INTO messages (company, message_id, campaign_id, contact_id, connection, recipient, body, urgency, expires_at)
VALUES (:company, :id, '', '', :connection, :recipient, :body, :urgency, now() + make_interval(secs => :seconds))
ON CONFLICT (company, message_id) DO NOTHING

-- name: message_read
-- A message and where it is.
SELECT connection, recipient, body, state, code, reason, requested_at, accepted_at, sent_at, delivered_at, read_at, failed_at
FROM messages WHERE company = :company AND message_id = :id

-- name: keep_buckets
-- What is left in the buckets after a claim.
UPDATE connections c SET tokens = b.tokens, pace = b.pace, filled_at = b.filled_at,
    quota_left = coalesce(b.quota_left, 0),
    counted_at = CASE WHEN c.counted_at > now() - make_interval(secs => :recount) THEN c.counted_at ELSE now() END
FROM unnest(CAST(:companies AS text[]), CAST(:names AS text[]), CAST(:tokens AS float8[]), CAST(:paces AS float8[]),
            CAST(:times AS timestamptz[]), CAST(:quotas_left AS int[]))
    AS b (company, name, tokens, pace, filled_at, quota_left)
WHERE c.company = b.company AND c.name = b.name

-- name: settle
-- Verdicts of attempts. One under an old epoch, or on a message that a callback has moved on, changes nothing.
WITH given AS (
    SELECT * FROM unnest(CAST(:companies AS text[]), CAST(:ids AS uuid[]), CAST(:epochs AS int[]),
                         CAST(:states AS text[]), CAST(:provider_ids AS text[]), CAST(:codes AS int[]),
                         CAST(:reasons AS text[]), CAST(:delays AS float8[]))
        AS g (company, message_id, epoch, state, provider_id, code, reason, delay)),
held AS (
    SELECT m.company, m.message_id FROM messages m JOIN given g USING (company, message_id)
    ORDER BY m.company, m.message_id FOR UPDATE OF m)
UPDATE messages m
SET state = g.state, provider_id = coalesce(g.provider_id, m.provider_id), code = g.code, reason = g.reason,
    lease_until = NULL, attempts = m.attempts + 1, due_at = now() + make_interval(secs => g.delay),
    attempted_at = CASE WHEN g.state = 'queued' THEN NULL ELSE m.attempted_at END,
    accepted_at = CASE WHEN g.state = 'accepted' THEN now() ELSE m.accepted_at END,
    failed_at = CASE WHEN g.state = 'failed' THEN now() ELSE m.failed_at END
FROM given g JOIN held h USING (company, message_id)
WHERE m.company = g.company AND m.message_id = g.message_id AND m.epoch = g.epoch
  AND m.state IN ('claimed', 'uncertain') AND m.state <> g.state
RETURNING m.company, m.message_id

-- name: slow_down
-- Halve the pace of throttled connections, once a second at most: throttled answers come in bunches.
UPDATE connections c SET pace = greatest(c.pace / 2, :least), slowed_at = now()
FROM unnest(CAST(:companies AS text[]), CAST(:names AS text[])) AS s (company, name)
WHERE c.company = s.company AND c.name = s.name AND c.slowed_at < now() - interval '1 second'

-- name: hold
-- Send nothing from these connections for a while.
UPDATE connections c SET held_until = greatest(c.held_until, now() + make_interval(secs => h.seconds))
FROM unnest(CAST(:companies AS text[]), CAST(:names AS text[]), CAST(:seconds AS float8[])) AS h (company, name, seconds)
WHERE c.company = h.company AND c.name = h.name

-- name: doubt_lapsed
-- Attempts of which nothing was heard: nobody knows, so nobody sends again.
UPDATE messages m SET state = 'uncertain', lease_until = NULL, reason = :reason
FROM (SELECT company, message_id FROM messages
      WHERE state = 'claimed' AND lease_until < now()
      LIMIT :most FOR UPDATE SKIP LOCKED) AS lapsed
WHERE m.company = lapsed.company AND m.message_id = lapsed.message_id
RETURNING m.company, m.message_id, m.campaign_id

-- name: store_callback
-- A callback as it came.
INSERT INTO callbacks (body) VALUES (:body)

-- name: waiting_callbacks
-- The oldest callbacks that nobody is working on.
SELECT id, body FROM callbacks WHERE processed_at IS NULL ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED

-- name: resolve_reports
-- The message that each report is about, if its number is one of ours: by our id, as it was echoed.
SELECT r.place, n.company, r.tracker AS message_id
FROM unnest(CAST(:places AS int[]), CAST(:numbers AS text[]), CAST(:trackers AS uuid[]))
    AS r (place, phone_number_id, tracker)
JOIN numbers n ON n.phone_number_id = r.phone_number_id

-- name: reported_messages
-- Messages as they stand, held in one order so that two workers never deadlock.
SELECT m.company, m.message_id, m.campaign_id, m.state, m.provider_id, m.code, m.sent_at, m.delivered_at, m.read_at,
       m.failed_at
FROM messages m
JOIN unnest(CAST(:companies AS text[]), CAST(:ids AS uuid[])) AS r (company, message_id) USING (company, message_id)
ORDER BY m.company, m.message_id FOR UPDATE OF m

-- name: move
-- Messages after their reports.
UPDATE messages m
SET state = r.state, provider_id = r.provider_id, code = r.code, sent_at = r.sent_at, delivered_at = r.delivered_at,
    read_at = r.read_at, failed_at = r.failed_at, lease_until = CASE WHEN r.state = 'claimed' THEN m.lease_until END
FROM unnest(CAST(:companies AS text[]), CAST(:ids AS uuid[]), CAST(:states AS text[]), CAST(:provider_ids AS text[]),
            CAST(:codes AS int[]), CAST(:sent AS timestamptz[]), CAST(:delivered AS timestamptz[]),
            CAST(:read AS timestamptz[]), CAST(:failed AS timestamptz[]))
    AS r (company, message_id, state, provider_id, code, sent_at, delivered_at, read_at, failed_at)
WHERE m.company = r.company AND m.message_id = r.message_id

-- name: callbacks_done
-- They were worked on; a fault says that they could not be read.
UPDATE callbacks c SET processed_at = now(), fault = d.fault
FROM unnest(CAST(:ids AS bigint[]), CAST(:faults AS text[])) AS d (id, fault) WHERE c.id = d.id

-- name: purge_callbacks
-- Forget callbacks that were worked on long ago.
DELETE FROM callbacks WHERE processed_at < now() - make_interval(secs => :seconds)
