-- Queries of the campaigns service.

-- name: add_campaign
-- Insert a campaign unless its company has used the idempotency key before.
INSERT INTO campaigns (company, id, idempotency_key, fingerprint, name, list_name, text, text_variants, variables,
                       connection, requested_state, start_at, missed_start_policy, send_window, expires_at,
                       next_check_at)
VALUES (:company, :id, :idempotency_key, :fingerprint, :name, :list_name, :text, :text_variants,
        CAST(:variables AS jsonb), :connection, :requested_state, :start_at, :missed_start_policy,
        CAST(:send_window AS jsonb), :expires_at, now())
ON CONFLICT (company, idempotency_key) DO NOTHING

-- name: find_campaign_by_idempotency_key
SELECT id, fingerprint FROM campaigns WHERE company = :company AND idempotency_key = :idempotency_key

-- name: lock_campaign
-- No other transaction changes the requested state until this one ends.
SELECT id FROM campaigns WHERE company = :company AND id = :id FOR UPDATE

-- name: update_campaign
-- Replace the editable fields of a campaign that has not started; its idempotency key remains used.
UPDATE campaigns SET name = :name, list_name = :list_name, text = :text, text_variants = :text_variants,
    variables = CAST(:variables AS jsonb), connection = :connection, requested_state = :requested_state,
    start_at = :start_at, missed_start_policy = :missed_start_policy, send_window = CAST(:send_window AS jsonb),
    expires_at = :expires_at, status_reason = NULL, next_check_at = now()
WHERE company = :company AND id = :id

-- name: set_requested_state
-- Store a requested state and the run; the scheduler checks the campaign at once.
UPDATE campaigns SET requested_state = :requested_state, run = :run, status_reason = NULL, next_check_at = now()
WHERE company = :company AND id = :id

-- name: apply_transition
-- Store an automatic transition and the next check; the last reason is kept unless there is a new one.
UPDATE campaigns SET requested_state = :requested_state, run = :run, window_closes_at = :window_closes_at,
    next_check_at = :next_check_at, status_reason = coalesce(:reason, status_reason)
WHERE company = :company AND id = :id

-- name: lock_requested_state
-- Share lock: the requested state does not change until the transaction ends.
SELECT requested_state FROM campaigns WHERE company = :company AND id = :id FOR SHARE

-- name: lock_next_due_campaign
-- The next campaign to check that no other transaction has locked.
SELECT company, id FROM campaigns WHERE next_check_at <= :now ORDER BY next_check_at LIMIT 1 FOR UPDATE SKIP LOCKED

-- name: campaign_progress
SELECT c.company, c.id, c.name, c.list_name, c.text, c.text_variants, c.variables, c.connection, c.run,
       c.requested_state, c.window_closes_at, c.expires_at, c.start_at, c.missed_start_policy, c.send_window,
       c.status_reason, p.ended_at IS NOT NULL AS planned, p.failure, p.total
FROM campaigns c LEFT JOIN campaign_plans p ON p.company = c.company AND p.campaign_id = c.id
WHERE c.company = :company AND c.id = :id

-- name: campaigns_page
-- Campaigns of a company with their plans, newest first.
SELECT c.company, c.id, c.name, c.list_name, c.text, c.text_variants, c.variables, c.connection, c.run,
       c.requested_state, c.window_closes_at, c.expires_at, c.start_at, c.missed_start_policy, c.send_window,
       c.status_reason, p.ended_at IS NOT NULL AS planned, p.failure, p.total
FROM campaigns c LEFT JOIN campaign_plans p ON p.company = c.company AND p.campaign_id = c.id
WHERE c.company = :company AND c.id < :before ORDER BY c.id DESC LIMIT :limit

-- name: campaigns_with_unconfirmed_messages
-- Campaigns with messages in one of the given states, as their counts say.
SELECT company, id, name, list_name, text, text_variants, variables, connection, run, requested_state,
       window_closes_at, expires_at
FROM campaigns c
WHERE EXISTS (SELECT FROM campaign_state_counts s
              WHERE s.company = c.company AND s.campaign_id = c.id AND s.messages > 0
                AND s.state = ANY(CAST(:states AS smallint[])))
ORDER BY company, id

-- name: state_counts
-- Messages per campaign and state, without zeros.
SELECT campaign_id, state, messages FROM campaign_state_counts
WHERE company = :company AND campaign_id = ANY(CAST(:ids AS uuid[])) AND messages > 0

-- name: add_state_count_deltas
-- Counters avoid counting the messages. Rows are locked in the same order in every transaction.
INSERT INTO campaign_state_counts (company, campaign_id, state, messages)
SELECT * FROM unnest(CAST(:companies AS text[]), CAST(:campaign_ids AS uuid[]), CAST(:states AS smallint[]),
                     CAST(:deltas AS bigint[])) AS d (company, campaign_id, state, delta)
ORDER BY company, campaign_id, state
ON CONFLICT (company, campaign_id, state) DO UPDATE
SET messages = campaign_state_counts.messages + excluded.messages

-- name: start_or_resume_plan
-- Create the plan of a campaign that starts, or resume it. A plan that has ended has exhausted its list: only
-- returned messages are requested again.
INSERT INTO campaign_plans AS p (company, campaign_id, traceparent) VALUES (:company, :campaign_id, :traceparent)
ON CONFLICT (company, campaign_id) DO UPDATE
SET traceparent = excluded.traceparent, list_exhausted = p.list_exhausted OR p.ended_at IS NOT NULL, progressed_at = now(),
    cursor = CASE WHEN p.list_exhausted OR p.ended_at IS NOT NULL THEN NULL ELSE p.cursor END,
    ended_at = NULL, lease_expires_at = now(), epoch = p.epoch + 1, in_flight_from = NULL

-- name: suspend_plan
-- Stop planning a paused or cancelled campaign; the next epoch invalidates the current lease.
UPDATE campaign_plans SET lease_expires_at = 'infinity', epoch = epoch + 1
WHERE company = :company AND campaign_id = :campaign_id AND ended_at IS NULL

-- name: claim_plan
-- Lease the plan that has waited longest.
UPDATE campaign_plans p SET epoch = epoch + 1, lease_expires_at = now() + make_interval(secs => :seconds)
FROM campaigns c
WHERE (p.company, p.campaign_id) = (
    SELECT company, campaign_id FROM campaign_plans
    WHERE ended_at IS NULL AND lease_expires_at <= now()
    ORDER BY lease_expires_at LIMIT 1 FOR UPDATE SKIP LOCKED
) AND c.company = p.company AND c.id = p.campaign_id
RETURNING c.company, c.id, c.name, c.list_name, c.text, c.text_variants, c.variables, c.connection, c.run,
          c.window_closes_at, c.expires_at, p.cursor, p.epoch, p.list_exhausted, p.traceparent

-- name: advance_plan
-- Store the cursor and renew the lease, unless the lease is lost.
UPDATE campaign_plans SET cursor = :cursor, lease_expires_at = now() + make_interval(secs => :seconds),
    progressed_at = CASE WHEN cursor IS DISTINCT FROM :cursor THEN now() ELSE progressed_at END
WHERE company = :company AND campaign_id = :campaign_id AND epoch = :epoch AND ended_at IS NULL

-- name: finish_plan
-- End planning, unless the lease is lost.
UPDATE campaign_plans SET ended_at = now(), failure = :failure
WHERE company = :company AND campaign_id = :campaign_id AND epoch = :epoch AND ended_at IS NULL

-- name: start_list_pass
-- Start another pass over the list for returned messages, unless the lease is lost.
UPDATE campaign_plans SET pass_started_at = now(), progressed_at = now()
WHERE company = :company AND campaign_id = :campaign_id AND epoch = :epoch AND ended_at IS NULL

-- name: schedule_list_pass
-- End a pass and schedule the next one, unless the lease is lost.
UPDATE campaign_plans
SET cursor = NULL, list_exhausted = true, progressed_at = now(), lease_expires_at = now() + make_interval(secs => :seconds)
WHERE company = :company AND campaign_id = :campaign_id AND epoch = :epoch AND ended_at IS NULL

-- name: planning_load
-- Number of campaigns that are being planned, and the longest time without progress in seconds.
SELECT count(*) AS campaigns, coalesce(max(extract(epoch FROM now() - progressed_at)), 0) AS age_seconds
FROM campaign_plans WHERE ended_at IS NULL AND lease_expires_at < 'infinity'

-- name: set_plan_total
UPDATE campaign_plans SET total = :total WHERE company = :company AND campaign_id = :campaign_id

-- name: add_messages
-- Insert messages of contacts that have none in this campaign.
INSERT INTO messages (company, campaign_id, run, message_id, contact_id)
SELECT :company, CAST(:campaign_id AS uuid), :run, r.message_id, r.contact_id
FROM unnest(CAST(:message_ids AS uuid[]), CAST(:contact_ids AS uuid[])) AS r (message_id, contact_id)
ON CONFLICT (company, campaign_id, contact_id) DO NOTHING
RETURNING message_id

-- name: lock_messages
-- Rows are locked in the same order in every transaction, so that workers do not deadlock.
SELECT m.company, m.campaign_id, m.message_id, m.state FROM messages m
JOIN unnest(CAST(:companies AS text[]), CAST(:campaign_ids AS uuid[]), CAST(:message_ids AS uuid[]))
    AS r (company, campaign_id, message_id) USING (company, campaign_id, message_id)
ORDER BY m.company, m.campaign_id, m.message_id FOR UPDATE OF m

-- name: update_message_states
UPDATE messages m SET state = r.state, state_changed_at = now()
FROM unnest(CAST(:companies AS text[]), CAST(:campaign_ids AS uuid[]), CAST(:message_ids AS uuid[]),
            CAST(:states AS smallint[])) AS r (company, campaign_id, message_id, state)
WHERE m.company = r.company AND m.campaign_id = r.campaign_id AND m.message_id = r.message_id

-- name: return_unsent_messages
-- Take queued messages out of the queue that are still requested under the reported run. LATERAL and ANY look each one
-- up by its key: with joins, the plan for all values reads the whole campaign.
WITH locked AS (
    SELECT m.message_id FROM (
        SELECT * FROM unnest(CAST(:message_ids AS uuid[]), CAST(:runs AS int[])) AS u (message_id, run)
        ORDER BY message_id) AS r
    CROSS JOIN LATERAL (
        SELECT m.message_id FROM messages m
        WHERE m.company = :company AND m.campaign_id = :campaign_id AND m.message_id = r.message_id
          AND m.run = r.run AND m.state = 0 FOR UPDATE) AS m)
UPDATE messages m SET state = :state, state_changed_at = now()
WHERE m.company = :company AND m.campaign_id = :campaign_id
  AND m.message_id = ANY(ARRAY(SELECT message_id FROM locked))

-- name: requeue_pending_messages
-- Queue the pending messages of contacts under another run. Not by `pending`, whose index would read all those of the
-- campaign; and not by a join, whose plan for all values reads the whole campaign.
WITH locked AS (
    SELECT message_id FROM messages
    WHERE company = :company AND campaign_id = :campaign_id AND state = -10
      AND contact_id = ANY(CAST(:contact_ids AS uuid[]))
    ORDER BY message_id FOR UPDATE)
UPDATE messages m SET state = 0, run = :run, state_changed_at = now()
WHERE m.company = :company AND m.campaign_id = :campaign_id
  AND m.message_id = ANY(ARRAY(SELECT message_id FROM locked))
RETURNING m.contact_id, m.message_id

-- name: cancel_pending_messages
WITH locked AS (
    SELECT message_id FROM messages WHERE company = :company AND campaign_id = :campaign_id AND pending
    ORDER BY message_id LIMIT :limit FOR UPDATE)
UPDATE messages m SET state = 25, state_changed_at = now()
FROM locked l WHERE m.company = :company AND m.campaign_id = :campaign_id AND m.message_id = l.message_id

-- name: cancel_orphaned_messages
-- Cancel messages that were pending before the pass started and that the pass did not reach.
WITH locked AS (
    SELECT m.message_id FROM messages m
    JOIN campaign_plans p ON p.company = m.company AND p.campaign_id = m.campaign_id
    WHERE m.company = :company AND m.campaign_id = :campaign_id AND m.pending
      AND m.state_changed_at < p.pass_started_at
    ORDER BY m.message_id FOR UPDATE OF m)
UPDATE messages m SET state = 25, state_changed_at = now()
FROM locked l WHERE m.company = :company AND m.campaign_id = :campaign_id AND m.message_id = l.message_id

-- name: has_pending_messages
SELECT EXISTS (SELECT FROM messages m
               WHERE company = :company AND campaign_id = :campaign_id AND m.pending) AS to_requeue

-- name: find_in_flight
-- Store the first message that is queued under an earlier run, and so may still be returned; unless the lease is lost.
-- None is added before it, so each check continues where the last one stopped: together they read the campaign once.
UPDATE campaign_plans p SET in_flight_from = (
    SELECT m.message_id FROM messages m
    WHERE m.company = p.company AND m.campaign_id = p.campaign_id
      AND m.message_id >= coalesce(p.in_flight_from, '00000000-0000-0000-0000-000000000000')
      AND m.state = 0 AND m.run < :run
    ORDER BY m.message_id LIMIT 1)
WHERE company = :company AND campaign_id = :campaign_id AND epoch = :epoch AND ended_at IS NULL
RETURNING in_flight_from IS NOT NULL AS in_flight

-- name: find_messages_by_contacts
-- Messages of contacts in one of the given states.
SELECT contact_id, message_id, run FROM messages
WHERE company = :company AND campaign_id = :campaign_id AND contact_id = ANY(CAST(:contact_ids AS uuid[]))
  AND state = ANY(CAST(:states AS smallint[]))

-- name: messages_page
-- Messages of a campaign by id.
SELECT message_id, contact_id, state, state_changed_at FROM messages
WHERE company = :company AND campaign_id = :campaign_id AND message_id > :after
ORDER BY message_id LIMIT :limit
