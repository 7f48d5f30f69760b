-- Queries of the campaigns service.

-- name: campaign_add
-- A campaign, unless its company used the key before.
INSERT INTO campaigns (company, id, key, digest, name, list_name, text, connection)
VALUES (:company, :id, :key, :digest, :name, :list_name, :text, :connection)
ON CONFLICT (company, key) DO NOTHING

-- name: plan_add
-- Its plan, to be taken up at once.
INSERT INTO plans (company, campaign_id) VALUES (:company, :id)

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
RETURNING c.company, c.id, c.name, c.list_name, c.text, c.connection, p.cursor, p.epoch

-- name: plan_hold
-- The planner's way forward, if the plan is still its own.
UPDATE plans SET cursor = :cursor, leased_until = now() + make_interval(secs => :seconds)
WHERE company = :company AND campaign_id = :campaign_id AND epoch = :epoch AND ended_at IS NULL

-- name: plan_end
-- The end of planning, if the plan is still its own.
UPDATE plans SET ended_at = now(), failure = :failure
WHERE company = :company AND campaign_id = :campaign_id AND epoch = :epoch AND ended_at IS NULL

-- name: plan_total
-- The size of the list when it was last seen.
UPDATE plans SET total = :total WHERE company = :company AND campaign_id = :campaign_id

-- name: messages_add
-- Messages of contacts that have none in this campaign yet.
INSERT INTO messages (company, campaign_id, message_id, contact_id)
SELECT :company, CAST(:campaign_id AS uuid), m, c FROM unnest(CAST(:message_ids AS uuid[]), CAST(:contact_ids AS uuid[])) AS r (m, c)
ON CONFLICT (company, campaign_id, contact_id) DO NOTHING
RETURNING message_id

-- name: messages_hold
-- Messages, locked in one order everywhere, so that two workers never wait for each other.
SELECT message_id, state FROM messages
WHERE company = :company AND campaign_id = :campaign_id AND message_id = ANY(CAST(:message_ids AS uuid[]))
ORDER BY message_id FOR UPDATE

-- name: messages_move
-- Messages that climb.
UPDATE messages m SET state = r.state, changed_at = now()
FROM unnest(CAST(:message_ids AS uuid[]), CAST(:states AS smallint[])) AS r (message_id, state)
WHERE m.company = :company AND m.campaign_id = :campaign_id AND m.message_id = r.message_id

-- name: counts_change
-- Counts per state, kept so that nobody has to count; in order of state, as all locks.
INSERT INTO counts (company, campaign_id, state, messages)
SELECT :company, CAST(:campaign_id AS uuid), state, change
FROM unnest(CAST(:states AS smallint[]), CAST(:changes AS bigint[])) AS c (state, change) ORDER BY state
ON CONFLICT (company, campaign_id, state) DO UPDATE SET messages = counts.messages + excluded.messages

-- name: progress
-- A campaign and its plan.
SELECT c.company, c.id, c.name, c.list_name, c.text, c.connection, p.ended_at IS NOT NULL AS planned, p.failure, p.total
FROM campaigns c JOIN plans p ON p.company = c.company AND p.campaign_id = c.id
WHERE c.company = :company AND c.id = :id

-- name: counts_read
-- Messages by state.
SELECT state, messages FROM counts WHERE company = :company AND campaign_id = :id AND messages > 0

-- name: campaigns_unsettled
-- Campaigns with messages in one of these states.
SELECT company, id, name, list_name, text, connection FROM campaigns c
WHERE EXISTS (SELECT FROM messages m
              WHERE m.company = c.company AND m.campaign_id = c.id AND m.state = ANY(CAST(:states AS smallint[])))
ORDER BY company, id

-- name: messages_of
-- The messages of these contacts, as far as they are in one of these states.
SELECT contact_id, message_id FROM messages
WHERE company = :company AND campaign_id = :campaign_id AND contact_id = ANY(CAST(:contact_ids AS uuid[]))
  AND state = ANY(CAST(:states AS smallint[]))

-- name: messages_page
-- Messages of a campaign by id.
SELECT message_id, state FROM messages
WHERE company = :company AND campaign_id = :campaign_id AND message_id > :after
ORDER BY message_id LIMIT :most
