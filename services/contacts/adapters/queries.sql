-- Queries of the contacts service.

-- name: list_make
-- The list of that name, made when it is new; the update changes nothing and lets an existing row be returned.
INSERT INTO lists (company, id, name) VALUES (:company, :id, :name)
ON CONFLICT (company, name) DO UPDATE SET name = excluded.name RETURNING id

-- name: import_record
-- What a part of a file added to its import; with the last it was read to its end.
INSERT INTO imports AS i (company, id, list_id, accepted, duplicates, rejected, ended_at)
VALUES (:company, :id, :list_id, :accepted, :duplicates, :rejected, CASE WHEN :ended THEN now() END)
ON CONFLICT (company, id) DO UPDATE
SET accepted = i.accepted + excluded.accepted, duplicates = i.duplicates + excluded.duplicates,
    rejected = excluded.rejected, ended_at = excluded.ended_at

-- name: incoming_make
-- Where a batch is copied to.
CREATE TEMPORARY TABLE incoming (id uuid, phone text, name text) ON COMMIT DROP

-- name: contacts_merge
-- Contacts that are new to the company. Sorted, so that two imports of the same numbers never deadlock.
INSERT INTO contacts (company, id, phone, name)
SELECT :company, id, phone, name FROM (
    SELECT DISTINCT ON (phone) id, phone, name FROM incoming ORDER BY phone, name = '', id
) AS first ORDER BY phone
ON CONFLICT (company, phone) DO UPDATE SET name = excluded.name WHERE contacts.name = '' AND excluded.name <> ''

-- name: members_add
-- Contacts that are new to the list.
INSERT INTO members (company, list_id, contact_id)
SELECT DISTINCT c.company, CAST(:list_id AS uuid), c.id
FROM incoming i JOIN contacts c ON c.company = :company AND c.phone = i.phone ORDER BY c.id
ON CONFLICT DO NOTHING

-- name: list_grow
-- The list's count, kept so that nobody has to count.
UPDATE lists SET contacts = contacts + :added WHERE company = :company AND id = :id

-- name: lists_page
-- Lists by name.
SELECT id, name, contacts FROM lists WHERE company = :company AND name > :after ORDER BY name LIMIT :most

-- name: list_find
-- One list.
SELECT id, name, contacts FROM lists WHERE company = :company AND name = :name

-- name: members_page
-- Contacts of a list by id.
SELECT c.id, c.phone, c.name
FROM members m JOIN contacts c ON c.company = m.company AND c.id = m.contact_id
WHERE m.company = :company AND m.list_id = :list_id AND m.contact_id > :after
ORDER BY m.contact_id LIMIT :most
