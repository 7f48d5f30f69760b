-- The ledger of a load test: a tenth of the messages.
SET search_path = simulator;

INSERT INTO received_messages (id, client_reference, phone_number_id, wamid, received_at)
SELECT audit.uuid7(n, 'received' || n), CAST(audit.uuid7(n, 'reference' || n) AS text), 'company-0001-1',
       'wamid.' || md5(CAST(n AS text)), now() - interval '1 h' + n * interval '1 ms'
FROM audit.size, generate_series(1, messages / 10) n;
INSERT INTO scheduled_webhooks (due_at, statuses)
SELECT now() + (n % 600 - 30) * interval '1 s', CAST('[' || repeat('{"status": "sent"},', 9) || '{}]' AS json)
FROM generate_series(1, 5000) n;
INSERT INTO fault_config (document) VALUES ('{}');
