-- Contacts: a tenth as many as messages, in lists of all contacts of a company and of a quarter of them.
SET search_path = contacts;

CREATE TABLE audit.companies AS
SELECT audit.company(n) AS company, greatest(10, CAST(messages / 10.0 / (n * weights) AS bigint)) AS contacts
FROM (SELECT n, messages, sum(1.0 / n) OVER () AS weights FROM audit.size, generate_series(1, companies) n) AS c;

INSERT INTO contacts (company, id, phone, name, created_at)
SELECT company, audit.contact_id(company, n), audit.phone(n), CASE WHEN n % 5 > 0 THEN 'Name ' || n ELSE '' END,
       now() - interval '1 year' + n * interval '1 ms'
FROM audit.companies, generate_series(1, contacts) n;

INSERT INTO lists (company, id, name, member_count)
SELECT company, audit.uuid7(1735689600000, company || name), name, contacts / part
FROM audit.companies, (VALUES ('all', 1), ('quarter', 4)) AS l (name, part);

INSERT INTO list_members (company, list_id, contact_id)
SELECT l.company, l.id, audit.contact_id(l.company, n)
FROM lists l, generate_series(1, l.member_count) n ORDER BY 1, 2;

INSERT INTO imports (company, id, list_id, accepted, ended_at)
SELECT l.company, audit.uuid7(1735689600000 + n, l.company || l.name || n), l.id, 100, now()
FROM lists l, generate_series(1, 5) n;
