#!lua
-- Adds jobs, all or none.
-- ARGV: now, max depth, admitted (skips the capacity and deadline checks), dedup TTL, then for each job: id, priority, company, not before, deadline, payload.
-- Returns {'added', number}, or the reason for rejection: {'draining'}, {'full', wait} or
-- {'deadline', wait, microseconds beyond the deadline}.
local FIRST, FIELDS = 5, 6
local max_depth, admitted, dedup_ttl = tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4])
local count = (#ARGV - FIRST + 1) / FIELDS

-- Counts that determine how long a lane waits.
local function measure(lane, priority)
  local own_jobs = redis.call('ZLEXCOUNT', READY, '[' .. lane .. '\0', '(' .. lane .. '\1')
  local lanes = redis.call('ZCOUNT', RING, priority * SPAN, '(' .. string.format('%.0f', (priority + 1) * SPAN))
  return {
    all = redis.call('ZLEXCOUNT', READY, '-', '(' .. priority + 1),
    higher = redis.call('ZLEXCOUNT', READY, '-', '(' .. priority),
    own_jobs = own_jobs,
    other_lanes = own_jobs > 0 and lanes - 1 or lanes,
  }
end

-- Number of jobs served before one more job of the lane: all jobs of higher priority, the company's own jobs, and
-- one job of each other lane per own job and for the new one; at most the number of jobs there are.
-- `joining` jobs of the same batch enter the lane first.
local function jobs_ahead(counts, joining)
  local ahead_in_lane = counts.own_jobs + joining
  return math.min(counts.all + joining, counts.higher + ahead_in_lane + (ahead_in_lane + 1) * counts.other_lanes)
end

if redis.call('HGET', META, 'draining') == '1' then
  return {'draining'}
end
if not admitted then
  local rate, idle = capacity(), idle_time()
  local depth = redis.call('ZCARD', READY) + redis.call('ZCARD', DELAYED)
  if depth + count > max_depth then
    return {'full', rate > 0 and math.ceil(count * 1000000 / rate) or 1000000}
  end
  local lanes, joining, max_wait, max_overrun = {}, {}, 0, 0
  for at = FIRST, #ARGV, FIELDS do
    local start, deadline = math.max(now, tonumber(ARGV[at + 3])), tonumber(ARGV[at + 4])
    local lane = lane_of(ARGV[at + 1], ARGV[at + 2])
    if deadline > 0 then
      lanes[lane] = lanes[lane] or measure(lane, tonumber(ARGV[at + 1]))
      local wait = idle + (rate > 0 and jobs_ahead(lanes[lane], joining[lane] or 0) * 1000000 / rate or 0)
      -- The length of the queue at a later start is unknown.
      if start > now then
        wait = 0
      end
      if start + wait >= deadline then
        max_wait, max_overrun = math.max(max_wait, wait), math.max(max_overrun, start + wait - deadline)
      end
    end
    if start <= now then
      joining[lane] = (joining[lane] or 0) + 1
    end
  end
  if max_overrun > 0 then
    return {'deadline', math.ceil(max_wait), math.ceil(max_overrun)}
  end
end

local ids = {}
for at = FIRST, #ARGV, FIELDS do
  ids[#ids + 1] = ARGV[at]
end
local existing = redis.call('HMGET', JOBS, unpack(ids))
local added, records, members, oldest, in_batch = 0, {}, {}, {}, {}
for n, id in ipairs(ids) do
  local at = FIRST + (n - 1) * FIELDS
  local priority, company, not_before = tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
  local deadline, payload = tonumber(ARGV[at + 4]), ARGV[at + 5]
  local done_recently = dedup_ttl > 0 and tonumber(redis.call('ZSCORE', DONE, id) or 0) > now
  if not (existing[n] or done_recently or in_batch[id]) then
    in_batch[id] = true
    added = added + 1
    -- Jobs of one batch keep their order.
    local ready_at = not_before > 0 and not_before or now + n - 1
    records[#records + 1] = id
    records[#records + 1] = struct.pack(RECORD, priority, 0, 0, ready_at, deadline, #company, company) .. payload
    if not_before > now then
      redis.call('ZADD', DELAYED, ready_at, id)
    else
      local lane = lane_of(priority, company)
      members[#members + 1] = 0
      members[#members + 1] = member_of(lane, ready_at, id)
      enter_lane(lane, ready_at, oldest)
      if deadline > 0 then
        redis.call('ZADD', DEADLINES, deadline, id)
      end
    end
  end
end
if added > 0 then
  redis.call('HSET', JOBS, unpack(records))
  redis.call('HINCRBY', META, 'added', added)
end
if #members > 0 then
  redis.call('ZADD', READY, unpack(members))
end
if added > 0 then
  wake()
end
return {'added', added}
