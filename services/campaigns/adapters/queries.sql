-- Queries of the campaigns service.

-- name: campaign_add
-- A campaign, unless its company used the key before.
INSERT INTO campaigns (company, id, key, digest, name, list_name, text, connection, status, start_at, missed,
                       send_window, expires_at, more_texts, variables, next_at)
VALUES (:company, :id, :key, :digest, :name, :list_name, :text, :connection, :status, :start_at, :missed,
        CAST(:send_window AS jsonb), :expires_at, :more_texts, CAST(:variables AS jsonb), now())
ON CONFLICT (company, key) DO NOTHING

-- name: plan_open
-- The plan of a campaign that starts or resumes: made, or taken up where it was left. A plan that had ended, as those
-- did that an earlier version ended, is complete: only what came back is asked for again.
INSERT INTO plans AS p (company, campaign_id) VALUES (:company, :id)
ON CONFLICT (company, campaign_id) DO UPDATE
SET complete = p.complete OR p.ended_at IS NOT NULL,
    cursor = CASE WHEN p.complete OR p.ended_at IS NOT NULL THEN NULL ELSE p.cursor END,
    ended_at = NULL, leased_until = now(), epoch = p.epoch + 1

-- name: plan_park
-- The plan of a campaign that is paused or cancelled: nobody works on it, and who does has lost it.
UPDATE plans SET leased_until = 'infinity', epoch = epoch + 1
WHERE company = :company AND campaign_id = :id AND ended_at IS NULL

-- name: campaign_hold
-- Nobody else changes what is asked of a campaign until the transaction ends.
SELECT id FROM campaigns WHERE company = :company AND id = :id FOR UPDATE

-- name: campaign_ask
-- What was asked of a campaign; what follows by itself is looked at at once.
UPDATE campaigns SET status = :status, run = :run, note = NULL, next_at = now() WHERE company = :company AND id = :id

-- name: campaign_change
-- Another content of a campaign that has not begun; its key still makes no second one.
UPDATE campaigns SET name = :name, list_name = :list_name, text = :text, connection = :connection, status = :status,
    start_at = :start_at, missed = :missed, send_window = CAST(:send_window AS jsonb), expires_at = :expires_at,
    more_texts = :more_texts, variables = CAST(:variables AS jsonb), note = NULL, next_at = now()
WHERE company = :company AND id = :id

-- name: campaign_turn
-- What became of a campaign by itself, and when it is to be looked at again.
UPDATE campaigns SET status = :status, run = :run, closes_at = :closes_at, next_at = :next_at,
    note = coalesce(:note, note)
WHERE company = :company AND id = :id

-- name: campaign_share
-- What was asked of a campaign, and nothing else may be until the transaction ends.
SELECT status FROM campaigns WHERE company = :company AND id = :id FOR SHARE

-- name: campaign_due
-- A campaign that is to be looked at and that nobody else is looking at, held until the transaction ends.
SELECT company, id FROM campaigns WHERE next_at <= :now ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED

-- name: campaign_by_key
-- What a key was used for.
SELECT id, digest FROM campaigns WHERE company = :company AND key = :key

-- name: plan_claim
-- The plan that waits longest and that nobody works on.
UPDATE plans p SET epoch = epoch + 1, leased_until = now() + make_interval(secs => :seconds)
FROM campaigns c
WHERE (p.company, p.campaign_id) = (
    SELECT company, campaign_id FROM plans
    WHERE ended_at IS NULL AND leased_until <= now()
    ORDER BY leased_until LIMIT 1 FOR UPDATE SKIP LOCKED
) AND c.company = p.company AND c.id = p.campaign_id
RETURNING c.company, c.id, c.name, c.list_name, c.text, c.more_texts, c.variables, c.connection, c.run, c.closes_at,
          c.expires_at, p.cursor, p.epoch, p.complete

-- name: plan_hold
-- The planner's way forward, if the plan is still its own.
UPDATE plans SET cursor = :cursor, leased_until = now() + make_interval(secs => :seconds)
WHERE company = :company AND campaign_id = :campaign_id AND epoch = :epoch AND ended_at IS NULL

-- name: plan_end
-- The end of planning, if the plan is still its own.
UPDATE plans SET ended_at = now(), failure = :failure
WHERE company = :company AND campaign_id = :campaign_id AND epoch = :epoch AND ended_at IS NULL

-- name: plan_walk
-- Another walk through the list begins, for what came back.
UPDATE plans SET walk_began_at = now()
WHERE company = :company AND campaign_id = :campaign_id AND epoch = :epoch AND ended_at IS NULL

-- name: plan_again
-- The end of a walk, if the plan is still its own; the next begins in a while.
UPDATE plans SET cursor = NULL, complete = true, leased_until = now() + make_interval(secs => :seconds)
WHERE company = :company AND campaign_id = :campaign_id AND epoch = :epoch AND ended_at IS NULL

-- name: owed
-- Whether messages wait to be asked for again, and whether some of an earlier run are still to be heard of.
SELECT EXISTS (SELECT FROM messages m WHERE company = :company AND campaign_id = :campaign_id AND m.pending) AS pending,
       EXISTS (SELECT FROM messages WHERE company = :company AND campaign_id = :campaign_id AND state = 0
                                      AND run < :run) AS awaited

-- name: messages_take
-- Of these contacts, the messages that came back, now asked for under another run.
WITH held AS (
    SELECT message_id FROM messages
    WHERE company = :company AND campaign_id = :campaign_id AND pending
      AND contact_id = ANY(CAST(:contact_ids AS uuid[]))
    ORDER BY message_id FOR UPDATE)
UPDATE messages m SET state = 0, run = :run, changed_at = now()
FROM held h WHERE m.company = :company AND m.campaign_id = :campaign_id AND m.message_id = h.message_id
RETURNING m.contact_id, m.message_id

-- name: messages_recall
-- Messages that were not begun under the run they were requested under.
WITH held AS (
    SELECT m.message_id FROM messages m
    JOIN unnest(CAST(:message_ids AS uuid[]), CAST(:runs AS int[])) AS r (message_id, run)
      ON r.message_id = m.message_id AND r.run = m.run
    WHERE m.company = :company AND m.campaign_id = :campaign_id AND m.state = 0
    ORDER BY m.message_id FOR UPDATE OF m)
UPDATE messages m SET state = :state, changed_at = now()
FROM held h WHERE m.company = :company AND m.campaign_id = :campaign_id AND m.message_id = h.message_id

-- name: messages_cancel
-- Messages that wait to be asked for, and never will be.
WITH held AS (
    SELECT message_id FROM messages WHERE company = :company AND campaign_id = :campaign_id AND pending
    ORDER BY message_id LIMIT :most FOR UPDATE)
UPDATE messages m SET state = 25, changed_at = now()
FROM held h WHERE m.company = :company AND m.campaign_id = :campaign_id AND m.message_id = h.message_id

-- name: messages_left
-- Messages that came back before a walk through the list which did not meet their contacts.
WITH held AS (
    SELECT m.message_id FROM messages m JOIN plans p ON p.company = m.company AND p.campaign_id = m.campaign_id
    WHERE m.company = :company AND m.campaign_id = :campaign_id AND m.pending AND m.changed_at < p.walk_began_at
    ORDER BY m.message_id FOR UPDATE OF m)
UPDATE messages m SET state = 25, changed_at = now()
FROM held h WHERE m.company = :company AND m.campaign_id = :campaign_id AND m.message_id = h.message_id

-- name: plan_total
-- The size of the list when it was last seen.
UPDATE plans SET total = :total WHERE company = :company AND campaign_id = :campaign_id

-- name: messages_add
-- Messages of contacts that have none in this campaign yet.
INSERT INTO messages (company, campaign_id, run, message_id, contact_id)
SELECT :company, CAST(:campaign_id AS uuid), :run, m, c FROM unnest(CAST(:message_ids AS uuid[]), CAST(:contact_ids AS uuid[])) AS r (m, c)
ON CONFLICT (company, campaign_id, contact_id) DO NOTHING
RETURNING message_id

-- name: messages_hold
-- Messages, locked in one order everywhere, so that two workers never wait for each other.
SELECT m.company, m.campaign_id, m.message_id, m.state FROM messages m
JOIN unnest(CAST(:companies AS text[]), CAST(:campaign_ids AS uuid[]), CAST(:message_ids AS uuid[]))
    AS r (company, campaign_id, message_id) USING (company, campaign_id, message_id)
ORDER BY m.company, m.campaign_id, m.message_id FOR UPDATE OF m

-- name: messages_move
-- Messages that climb.
UPDATE messages m SET state = r.state, changed_at = now()
FROM unnest(CAST(:companies AS text[]), CAST(:campaign_ids AS uuid[]), CAST(:message_ids AS uuid[]),
            CAST(:states AS smallint[])) AS r (company, campaign_id, message_id, state)
WHERE m.company = r.company AND m.campaign_id = r.campaign_id AND m.message_id = r.message_id

-- name: counts_change
-- Counts per state, kept so that nobody has to count; locked in one order everywhere.
INSERT INTO counts (company, campaign_id, state, messages)
SELECT * FROM unnest(CAST(:companies AS text[]), CAST(:campaign_ids AS uuid[]), CAST(:states AS smallint[]),
                     CAST(:changes AS bigint[])) AS c (company, campaign_id, state, change)
ORDER BY company, campaign_id, state
ON CONFLICT (company, campaign_id, state) DO UPDATE SET messages = counts.messages + excluded.messages

-- name: progress
-- A campaign and its plan.
SELECT c.company, c.id, c.name, c.list_name, c.text, c.more_texts, c.variables, c.connection, c.run, c.status, c.closes_at,
       c.expires_at, c.start_at, c.missed, c.send_window, c.note, p.ended_at IS NOT NULL AS planned, p.failure, p.total
FROM campaigns c LEFT JOIN plans p ON p.company = c.company AND p.campaign_id = c.id
WHERE c.company = :company AND c.id = :id

-- name: campaigns_page
-- Campaigns of a company, the newest first.
SELECT c.company, c.id, c.name, c.list_name, c.text, c.more_texts, c.variables, c.connection, c.run, c.status, c.closes_at,
       c.expires_at, c.start_at, c.missed, c.send_window, c.note, p.ended_at IS NOT NULL AS planned, p.failure, p.total
FROM campaigns c LEFT JOIN plans p ON p.company = c.company AND p.campaign_id = c.id
WHERE c.company = :company AND c.id < :before ORDER BY c.id DESC LIMIT :most

-- name: counts_of
-- Messages by campaign and state.
SELECT campaign_id, state, messages FROM counts
WHERE company = :company AND campaign_id = ANY(CAST(:ids AS uuid[])) AND messages > 0

-- name: campaigns_unsettled
-- Campaigns with messages in one of these states.
SELECT company, id, name, list_name, text, more_texts, variables, connection, run, status, closes_at, expires_at
FROM campaigns c
WHERE EXISTS (SELECT FROM messages m
              WHERE m.company = c.company AND m.campaign_id = c.id AND m.state = ANY(CAST(:states AS smallint[])))
ORDER BY company, id

-- name: messages_of
-- The messages of these contacts, as far as they are in one of these states.
SELECT contact_id, message_id, run FROM messages
WHERE company = :company AND campaign_id = :campaign_id AND contact_id = ANY(CAST(:contact_ids AS uuid[]))
  AND state = ANY(CAST(:states AS smallint[]))

-- name: messages_page
-- Messages of a campaign by id.
SELECT message_id, contact_id, state, changed_at FROM messages
WHERE company = :company AND campaign_id = :campaign_id AND message_id > :after
ORDER BY message_id LIMIT :most
