#!lua flags=allow-oom
-- Writes what became of jobs; what comes under an old epoch changes nothing.
-- ARGV: now, attempts, remember, then for each job: id, epoch, verdict, delay, reason.
-- Returns a verdict for each.
local FIRST, FIELDS = 4, 5
local RETRY, BURIED, STALE = 1, 2, 3
local NAMES = {[0] = 'done', [RETRY] = 'retried', [BURIED] = 'buried'}
local KEPT = 1000
local attempts_allowed, remember = tonumber(ARGV[2]), tonumber(ARGV[3])

local ids = {}
for at = FIRST, #ARGV, FIELDS do
  ids[#ids + 1] = ARGV[at]
end
local records = redis.call('HMGET', JOBS, unpack(ids))
local verdicts, counts, gone, unleased, settled = {}, {}, {}, {}, {}

local function retry(id, record, delay)
  local priority, attempts, _, ready, deadline, company, rest = struct.unpack(RECORD, record)
  ready = now + delay
  if deadline > 0 then
    -- It is reported as expired at its deadline, not after a pause that goes beyond.
    ready = math.min(ready, math.max(deadline, now))
  end
  write(id, priority, attempts, 0, ready, deadline, company, record:sub(rest))
  redis.call('ZADD', DELAYED, ready, id)
end

local function bury(id, record, reason)
  redis.call('LPUSH', DEAD, struct.pack('>I7Bc0', now, #reason, reason) .. id .. record)
  redis.call('LTRIM', DEAD, 0, KEPT - 1)
end

for n, id in ipairs(ids) do
  local at = FIRST + (n - 1) * FIELDS
  local record, verdict = records[n], tonumber(ARGV[at + 2])
  local _, attempts, epoch
  if record and not settled[id] then
    _, attempts, epoch = struct.unpack(RECORD, record)
  end
  if epoch ~= tonumber(ARGV[at + 1]) then
    verdict = STALE
  else
    settled[id] = true
    if verdict == RETRY and attempts >= attempts_allowed then
      verdict = BURIED
    end
    unleased[#unleased + 1] = id
    if verdict == RETRY then
      retry(id, record, tonumber(ARGV[at + 3]))
    else
      gone[#gone + 1] = id
    end
    if verdict == BURIED then
      bury(id, record, ARGV[at + 4])
    end
    counts[verdict] = (counts[verdict] or 0) + 1
  end
  verdicts[n] = verdict
end

if #gone > 0 then
  redis.call('HDEL', JOBS, unpack(gone))
end
if #unleased > 0 then
  redis.call('ZREM', LEASES, unpack(unleased))
end
for verdict, count in pairs(counts) do
  redis.call('HINCRBY', META, NAMES[verdict], count)
end
if remember > 0 then
  for _, id in ipairs(gone) do
    redis.call('ZADD', DONE, now + remember, id)
  end
  redis.call('ZREMRANGEBYSCORE', DONE, '-inf', now)
end
return verdicts
