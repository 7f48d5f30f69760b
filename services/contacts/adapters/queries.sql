-- Queries of the contacts service.

-- name: get_or_create_list
-- The update changes nothing; it makes the statement return an existing row.
INSERT INTO lists (company, id, name) VALUES (:company, :id, :name)
ON CONFLICT (company, name) DO UPDATE SET name = excluded.name RETURNING id

-- name: keep_list
-- The lock keeps the list from being deleted while contacts are added.
SELECT id FROM lists WHERE company = :company AND name = :name FOR KEY SHARE

-- name: find_list
SELECT id, name, member_count FROM lists WHERE company = :company AND name = :name

-- name: lists_page
-- Lists of a company by name.
SELECT id, name, member_count FROM lists WHERE company = :company AND name > :after ORDER BY name LIMIT :limit

-- name: increment_member_count
-- A counter avoids counting the members.
UPDATE lists SET member_count = member_count + :added WHERE company = :company AND id = :id

-- name: list_members_page
-- Contacts of a list by id.
SELECT c.id, c.phone, c.name
FROM list_members m JOIN contacts c ON c.company = m.company AND c.id = m.contact_id
WHERE m.company = :company AND m.list_id = :list_id AND m.contact_id > :after
ORDER BY m.contact_id LIMIT :limit

-- name: record_import
-- Add the counts of a batch to its import; the last batch ends it.
INSERT INTO imports AS i (company, id, list_id, accepted, duplicates, rejected, ended_at)
VALUES (:company, :id, :list_id, :accepted, :duplicates, :rejected, CASE WHEN :ended THEN now() END)
ON CONFLICT (company, id) DO UPDATE
SET accepted = i.accepted + excluded.accepted, duplicates = i.duplicates + excluded.duplicates,
    rejected = excluded.rejected, ended_at = excluded.ended_at

-- name: create_staging_table
-- Target of the COPY of a batch.
CREATE TEMPORARY TABLE staged_contacts (id uuid, phone text, name text) ON COMMIT DROP

-- name: merge_contacts
-- Insert contacts that are new to the company. Sorted, so that concurrent imports of the same numbers do not deadlock.
INSERT INTO contacts (company, id, phone, name)
SELECT :company, id, phone, name FROM (
    SELECT DISTINCT ON (phone) id, phone, name FROM staged_contacts ORDER BY phone, name = '', id
) AS first ORDER BY phone
ON CONFLICT (company, phone) DO UPDATE SET name = excluded.name WHERE contacts.name = '' AND excluded.name <> ''

-- name: add_list_members
-- Insert contacts that are new to the list.
INSERT INTO list_members (company, list_id, contact_id)
SELECT DISTINCT c.company, CAST(:list_id AS uuid), c.id
FROM staged_contacts s JOIN contacts c ON c.company = :company AND c.phone = s.phone ORDER BY c.id
ON CONFLICT DO NOTHING

-- name: lock_list
-- Excludes imports into the list, which would add members to a list that is being deleted.
SELECT id FROM lists WHERE company = :company AND name = :name FOR UPDATE

-- name: delete_members
DELETE FROM list_members WHERE company = :company AND list_id = :list_id AND contact_id IN (
    SELECT contact_id FROM list_members WHERE company = :company AND list_id = :list_id
    ORDER BY contact_id LIMIT :limit
)

-- name: delete_imports
DELETE FROM imports WHERE company = :company AND list_id = :list_id

-- name: delete_list
DELETE FROM lists WHERE company = :company AND id = :list_id
