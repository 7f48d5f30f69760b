-- Campaigns and their messages. States: three of five messages of a running campaign are through, and the paused
-- one keeps a third of them pending.
SET search_path = campaigns;

INSERT INTO campaigns (company, id, idempotency_key, fingerprint, name, list_name, text, connection, requested_state,
                       run, next_check_at, created_at)
SELECT company, id, 'key-' || number, sha256(convert_to('campaign' || number, 'UTF8')), 'Campaign ' || number, 'all',
       'Hello {name}, your order is ready. Answer STOP to end these messages.', 'main',
       CASE WHEN paused THEN 'paused' ELSE 'active' END, CASE WHEN paused THEN 2 ELSE 1 END,
       CASE WHEN running THEN to_timestamp(started_ms / 1000.0) END, to_timestamp(started_ms / 1000.0)
FROM audit.campaigns;

INSERT INTO campaign_plans (company, campaign_id, total, ended_at, lease_expires_at, pass_started_at)
SELECT company, id, size, CASE WHEN NOT running THEN to_timestamp(started_ms / 1000.0 + 600) END,
       to_timestamp(started_ms / 1000.0), to_timestamp(started_ms / 1000.0 + 300)
FROM audit.campaigns;

CALL audit.drop_indexes('messages');
INSERT INTO messages (company, campaign_id, message_id, contact_id, run, state, state_changed_at)
SELECT c.company, c.id, audit.uuid7(c.started_ms + i, 'message' || c.number || '-' || i),
       audit.contact_id(c.company, i + 1), 1,
       CASE WHEN c.paused AND i * 3 > c.size * 2 THEN -10
            WHEN c.running AND i * 5 > c.size * 3 THEN 0
            WHEN audit.dice(i) < 400 THEN 70 WHEN audit.dice(i) < 850 THEN 60 WHEN audit.dice(i) < 940 THEN 40
            WHEN audit.dice(i) < 990 THEN 50 WHEN audit.dice(i) < 995 THEN 20 WHEN audit.dice(i) < 998 THEN 25
            WHEN c.running THEN 30 WHEN audit.dice(i) < 999 THEN 40 ELSE 10 END,
       to_timestamp((c.started_ms + i) / 1000.0 + 30)
FROM (SELECT * FROM audit.campaigns ORDER BY number OFFSET 0) c CROSS JOIN LATERAL generate_series(0, c.size - 1) i;
CALL audit.create_indexes('messages');

-- The last check of the largest campaign found the first message of its queue.
UPDATE campaign_plans p SET in_flight_from = (
    SELECT min(message_id::text)::uuid FROM messages m
    WHERE m.company = p.company AND m.campaign_id = p.campaign_id AND m.state = 0)
FROM audit.largest c WHERE p.company = c.company AND p.campaign_id = c.id;

INSERT INTO campaign_state_counts (company, campaign_id, state, messages)
SELECT company, campaign_id, state, count(*) FROM messages GROUP BY 1, 2, 3;
