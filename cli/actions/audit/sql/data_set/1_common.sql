-- Size and skew of the data set. `rows` is the number of messages, a variable of psql.
-- Campaign sizes follow Zipf's law: of 2000 campaigns the largest has an eighth of all messages. It runs now, and
-- so do three of a hundred. Company 1 has it, and a tenth of all campaigns.
CREATE SCHEMA audit;

CREATE TABLE audit.size AS
SELECT CAST(:rows AS bigint) AS messages, greatest(40, :rows / 5000) AS campaigns,
       least(500, greatest(10, :rows / 20000)) AS companies, now() AS anchored_at;

-- UUIDv7, as the services create it: ids that are created one after the other are neighbours in an index.
CREATE FUNCTION audit.uuid7(milliseconds bigint, seed text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT CAST(lpad(to_hex(milliseconds), 12, '0') || '7' || substr(md5(seed), 1, 3) || '8' || substr(md5(seed), 4, 15)
                AS uuid)
$$;
CREATE FUNCTION audit.company(number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT 'company-' || lpad(CAST(number AS text), 4, '0')
$$;
CREATE FUNCTION audit.contact_id(company text, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT audit.uuid7(1735689600000 + number, company || number)
$$;
CREATE FUNCTION audit.phone(number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT '+5511' || lpad(CAST(number AS text), 9, '0')
$$;
-- A number from 0 to 999 that is the same in every run.
CREATE FUNCTION audit.dice(number bigint) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT CAST((number * 2654435761) % 1000 AS int)
$$;

CREATE TABLE audit.campaigns AS
WITH ranked AS (
    SELECT s.messages, s.campaigns, s.companies, n AS number, 1 + ((s.campaigns - n) * 7919) % s.campaigns AS rank,
           CAST(extract(epoch FROM s.anchored_at) * 1000 AS bigint)
               - 90 * 86400000::bigint * (s.campaigns - n) / s.campaigns - 7200000 AS started_ms
    FROM audit.size s, generate_series(1, s.campaigns) n),
weighted AS (
    SELECT *, 1 + CAST(floor(power(companies, ((rank - 1) * 0.6180339887) % 1)) AS bigint) - 1 AS company_number,
           sum(1.0 / rank) OVER () AS weights
    FROM ranked)
SELECT number, rank, audit.company(company_number) AS company, audit.uuid7(started_ms, 'campaign' || number) AS id,
       greatest(1, CAST(round(messages / (rank * weights)) AS bigint)) AS size, started_ms,
       number > campaigns * 0.97 AS running, rank = 4 AS paused
FROM weighted ORDER BY number;
ALTER TABLE audit.campaigns ADD PRIMARY KEY (number);
ANALYZE audit.campaigns;

-- The largest campaign (running), a paused one, and the largest of those that have ended.
CREATE VIEW audit.largest AS SELECT * FROM audit.campaigns ORDER BY size DESC LIMIT 1;
CREATE VIEW audit.paused AS SELECT * FROM audit.campaigns WHERE paused;
CREATE VIEW audit.ended AS SELECT * FROM audit.campaigns WHERE NOT running AND NOT paused ORDER BY size DESC LIMIT 1;

-- Indexes are built after the rows: to keep them during the load takes many times as long.
CREATE TABLE audit.dropped_indexes (relation regclass, statement text);
CREATE PROCEDURE audit.drop_indexes(target regclass) LANGUAGE plpgsql AS $$
DECLARE item record;
BEGIN
    FOR item IN SELECT conname, pg_get_constraintdef(oid) AS definition FROM pg_constraint
                WHERE conrelid = target AND contype IN ('p', 'u') LOOP
        INSERT INTO audit.dropped_indexes
        VALUES (target, format('ALTER TABLE %s ADD CONSTRAINT %I %s', target, item.conname, item.definition));
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', target, item.conname);
    END LOOP;
    FOR item IN SELECT indexrelid::regclass AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
                WHERE indrelid = target LOOP
        INSERT INTO audit.dropped_indexes VALUES (target, item.definition);
        EXECUTE format('DROP INDEX %s', item.name);
    END LOOP;
END $$;
CREATE PROCEDURE audit.create_indexes(target regclass) LANGUAGE plpgsql AS $$
DECLARE item record;
BEGIN
    FOR item IN SELECT statement FROM audit.dropped_indexes WHERE relation = target LOOP
        EXECUTE item.statement;
    END LOOP;
END $$;
