#!lua flags=allow-oom
-- Acknowledges jobs. An acknowledgement with an old epoch is fenced: it changes nothing.
-- ARGV: now, dedup TTL, then for each job: id, epoch.
-- Returns a result for each job: 0 done, 1 fenced.
local FIRST, FIELDS = 3, 2
local COMPLETED, FENCED = 0, 1
local dedup_ttl = tonumber(ARGV[2])

local ids = {}
for at = FIRST, #ARGV, FIELDS do
  ids[#ids + 1] = ARGV[at]
end
local records = redis.call('HMGET', JOBS, unpack(ids))
local results, completed, in_batch = {}, {}, {}
for n, id in ipairs(ids) do
  local epoch
  if records[n] and not in_batch[id] then
    epoch = select(3, struct.unpack(RECORD, records[n]))
  end
  if epoch == tonumber(ARGV[FIRST + (n - 1) * FIELDS + 1]) then
    in_batch[id] = true
    completed[#completed + 1] = id
    results[n] = COMPLETED
  else
    results[n] = FENCED
  end
end

if #completed > 0 then
  redis.call('HDEL', JOBS, unpack(completed))
  redis.call('ZREM', LEASES, unpack(completed))
  redis.call('HINCRBY', META, 'done', #completed)
end
if dedup_ttl > 0 then
  for _, id in ipairs(completed) do
    redis.call('ZADD', DONE, now + dedup_ttl, id)
  end
  redis.call('ZREMRANGEBYSCORE', DONE, '-inf', now)
end
return results
