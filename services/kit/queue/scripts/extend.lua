#!lua flags=allow-oom
-- Holds jobs for longer.
-- ARGV: now, lease, then for each job: id, epoch.
-- Returns 1 for each that is still held, else 0.
local held = {}
for at = 3, #ARGV, 2 do
  local record = redis.call('HGET', JOBS, ARGV[at])
  local epoch = record and select(3, struct.unpack(RECORD, record))
  local ours = epoch == tonumber(ARGV[at + 1])
  if ours then
    redis.call('ZADD', LEASES, 'XX', now + tonumber(ARGV[2]), ARGV[at])
  end
  held[#held + 1] = ours and 1 or 0
end
return held
