-- Inbox: events of eight days. Outbox: events of the last minute, most of them published. Both in two services.
CREATE PROCEDURE audit.fill_events() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO inbox (company, event_id, seen_at)
    SELECT audit.company(1 + n % companies), audit.uuid7(n, 'event' || n),
           now() - interval '8 days' * (1 - n * 10.0 / messages)
    FROM audit.size, generate_series(1, messages / 10) n;
    FOR batch IN 1..2 LOOP
        INSERT INTO outbox (shard, segment, company, event_id, topic, key, payload)
        SELECT n % 8, n % 3, audit.company(1 + n % 10), audit.uuid7(n, 'outbox' || n), 'whatsapp.status.v1',
               'key-' || n % 100, decode(repeat('ab', 600), 'hex')
        FROM generate_series(1, CASE batch WHEN 1 THEN 20000 ELSE 2000 END) n;
        COMMIT;
        IF batch = 1 THEN
            UPDATE outbox_shard
            SET published_snapshot = pg_current_snapshot(), min_id = (SELECT max(id) - 1000 FROM outbox);
            COMMIT;
        END IF;
    END LOOP;
END $$;
SET search_path = campaigns;
CALL audit.fill_events();
SET search_path = whatsapp;
CALL audit.fill_events();
