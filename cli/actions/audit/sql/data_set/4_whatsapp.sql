-- The same messages with their texts. Half of those that the paused campaign has pending are in the queue still. A
-- fifth of those in the queue have a deadline, which a few have passed. Also the connections of each company,
-- webhooks of the last week, and quotas.
SET search_path = whatsapp;

INSERT INTO phone_numbers (phone_number_id, company)
SELECT company || '-' || n, company FROM audit.companies, generate_series(1, 2) n;
INSERT INTO connections (company, name, phone_number_id, rate, recipients_per_day)
SELECT company, name, company || '-' || n, 80, CASE WHEN n = 1 THEN NULL ELSE 10000 END
FROM audit.companies, (VALUES ('main', 1), ('second', 2)) AS c (name, n);

CALL audit.drop_indexes('messages');
INSERT INTO messages (company, message_id, campaign_id, contact_id, connection, recipient, text, state, due_at, epoch,
                      attempts, lease_expires_at, attempted_at, provider_id, requested_at, accepted_at, sent_at,
                      delivered_at, read_at, failed_at, run, send_before)
SELECT m.company, m.message_id, CAST(m.campaign_id AS text), CAST(m.contact_id AS text),
       CASE WHEN m.state <= 0 OR c.rank % 3 > 0 THEN 'main' ELSE 'second' END, audit.phone(m.number),
       'Hello Name ' || m.number || ', your order is ready. Answer STOP to end these messages.',
       CASE WHEN m.leased THEN 'leased' WHEN m.state = -10 AND m.number % 2 = 0 THEN 'queued' ELSE s.label END, m.changed_at, 1, 1,
       CASE WHEN m.leased THEN now() + (m.number % 60 - 10) * interval '1 s' END, m.changed_at,
       CASE WHEN m.state >= 30 THEN 'wamid.' || md5(CAST(m.message_id AS text)) END, m.changed_at - interval '30 s',
       CASE WHEN m.state >= 30 THEN m.changed_at END, CASE WHEN m.state IN (40, 60, 70) THEN m.changed_at END,
       CASE WHEN m.state IN (60, 70) THEN m.changed_at END, CASE WHEN m.state = 70 THEN m.changed_at END,
       CASE WHEN m.state = 50 THEN m.changed_at END, m.run,
       CASE WHEN m.state = 0 AND m.number % 5000 = 1 THEN m.changed_at
            WHEN m.state = 0 AND m.number % 5 = 0 THEN timestamptz '2100-01-01' END
FROM (SELECT company, campaign_id, message_id, contact_id, state, run, state_changed_at AS changed_at, n AS number,
             state = 0 AND n % 1000 = 0 AS leased
      FROM (SELECT *, row_number() OVER () AS n FROM campaigns.messages) AS numbered) AS m
JOIN audit.campaigns c ON c.company = m.company AND c.id = m.campaign_id
JOIN (VALUES (-10, 'returned'), (0, 'queued'), (10, 'uncertain'), (20, 'expired'), (25, 'returned'), (30, 'accepted'),
             (40, 'sent'), (50, 'failed'), (60, 'delivered'), (70, 'read')) AS s (number, label) ON s.number = m.state;
CALL audit.create_indexes('messages');

INSERT INTO halted_runs (company, campaign_id, connection, run)
SELECT company, CAST(id AS text), 'main', 1 FROM audit.campaigns WHERE paused;

INSERT INTO daily_recipients (company, connection, recipient, contacted_at)
SELECT company, 'second', audit.phone(n), now() - n % 26 * interval '1 h'
FROM audit.companies, generate_series(1, greatest(1, contacts / 5)) n;

INSERT INTO webhook_deliveries (body, received_at, processed_at)
SELECT convert_to(repeat('{"object": "whatsapp_business_account", "entry": [{"id": "1"}]}', 8), 'UTF8'), at,
       CASE WHEN n <= total - 300 THEN at + interval '1 s' END
FROM (SELECT n, messages / 20 AS total, now() - interval '7 days' * (1 - n * 20.0 / messages) AS at
      FROM audit.size, generate_series(1, messages / 20) n) AS w;
