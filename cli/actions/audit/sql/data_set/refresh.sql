-- Move what statements compare with the present time from the time of the generation to now.
UPDATE whatsapp.daily_recipients SET contacted_at = contacted_at + (now() - anchored_at) FROM audit.size;
UPDATE whatsapp.halted_runs SET halted_at = now();
UPDATE whatsapp.messages SET lease_expires_at = lease_expires_at + (now() - anchored_at) FROM audit.size
WHERE lease_expires_at IS NOT NULL;
UPDATE simulator.scheduled_webhooks SET due_at = due_at + (now() - anchored_at) FROM audit.size;
UPDATE audit.size SET anchored_at = now();
VACUUM (ANALYZE) whatsapp.daily_recipients;
VACUUM (ANALYZE) whatsapp.halted_runs;
VACUUM (ANALYZE) simulator.scheduled_webhooks;
-- What earlier audits have rolled back.
VACUUM campaigns.campaigns, campaigns.campaign_plans, campaigns.campaign_state_counts, campaigns.messages;
VACUUM contacts.contacts, contacts.list_members, contacts.lists;
VACUUM whatsapp.connections, whatsapp.messages, whatsapp.webhook_deliveries;

-- Batches of messages as the services handle them, for the parameters in `parameters/*.yaml`.
DROP TABLE IF EXISTS audit.batch, audit.pending, audit.queued, audit.leased, audit.received;
CREATE TABLE audit.batch AS
SELECT m.company, m.campaign_id, m.message_id, m.contact_id
FROM audit.largest c JOIN campaigns.messages m ON m.company = c.company AND m.campaign_id = c.id
WHERE m.state > 0 ORDER BY m.message_id OFFSET 1000 LIMIT 50;
CREATE TABLE audit.pending AS
SELECT m.company, m.campaign_id, m.message_id, m.contact_id
FROM audit.paused c JOIN campaigns.messages m ON m.company = c.company AND m.campaign_id = c.id
WHERE m.pending ORDER BY m.message_id LIMIT 100;
CREATE TABLE audit.queued AS
SELECT m.company, m.campaign_id, m.message_id, m.contact_id
FROM audit.largest c JOIN campaigns.messages m ON m.company = c.company AND m.campaign_id = c.id
WHERE m.state = 0 ORDER BY m.message_id LIMIT 100;
CREATE TABLE audit.leased AS
SELECT company, message_id, epoch FROM whatsapp.messages WHERE lease_expires_at IS NOT NULL LIMIT 96;
CREATE TABLE audit.received AS
SELECT client_reference FROM simulator.received_messages LIMIT 500;
