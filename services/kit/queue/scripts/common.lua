-- Stands before every script. All keys of a queue carry its name as {hashtag} and so share a slot; each script
-- is given all of them.
--
-- jobs      hash    id -> record
-- waiting   zset    lane, 0, time since when it waits, id; all of score 0, so that a lane is a range of bytes
-- ring      zset    lane -> priority * SPAN + turn: the next to be served stands first
-- served    zset    lane without jobs -> where it would stand in the ring, as long as that is not behind
-- heads     zset    lane -> since when its first job waits
-- deadlines zset    id -> deadline, of waiting jobs that have one
-- delayed   zset    id -> when it may run
-- leases    zset    id -> when the lease ends
-- done      zset    id -> until when it is remembered
-- dead      list    dead letters, the newest first
-- meta      hash    controls, counters, measurements
-- wake      list    at most one token: there is work
--
-- A lane is one digit of priority and the company. Times are microseconds since the epoch; ids are 16 bytes.
local JOBS, WAITING, RING, SERVED, HEADS, DEADLINES, DELAYED, LEASES, DONE, DEAD, META, WAKE = unpack(KEYS)
local SPAN = 2 ^ 42
local ID_BYTES = 16
local RECORD = '>BBI7I7I7Bc0'

local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function meta(field)
  return tonumber(redis.call('HGET', META, field) or 0)
end

local function write(id, priority, attempts, epoch, ready, deadline, company, payload)
  local head = struct.pack(RECORD, priority, attempts, epoch, ready, deadline, #company, company)
  redis.call('HSET', JOBS, id, head .. payload)
end

local function lane_of(priority, company)
  return priority .. company
end

local function member_of(lane, ready, id)
  return lane .. '\0' .. struct.pack('>I7', ready) .. id
end

local function ready_of(member)
  return (struct.unpack('>I7', member, #member - ID_BYTES - 6))
end

-- Gives lanes their place in ring and heads when jobs join them, once per script where it can be.
local function joined(lane, ready, seen)
  if seen[lane] and seen[lane] <= ready then
    return
  end
  seen[lane] = ready
  local priority = tonumber(lane:sub(1, 1))
  -- A lane that comes back queues behind the one just served, else a trickle would overtake a heap for ever;
  -- unless it has not had its turn of this round, else those that come last in a round would miss the next.
  local turn = priority * SPAN + meta('turn' .. priority)
  local own = tonumber(redis.call('ZSCORE', SERVED, lane) or 0)
  redis.call('ZADD', RING, 'NX', own == turn and turn or turn + 1, lane)
  redis.call('ZADD', HEADS, 'LT', ready, lane)
end

local function join(id, priority, company, ready, deadline, seen)
  local lane = lane_of(priority, company)
  redis.call('ZADD', WAITING, 0, member_of(lane, ready, id))
  joined(lane, ready, seen)
  if deadline > 0 then
    redis.call('ZADD', DEADLINES, deadline, id)
  end
end

-- One token at a time: whoever takes it and leaves work behind puts another.
local function wake()
  if redis.call('LLEN', WAKE) == 0 then
    redis.call('LPUSH', WAKE, '1')
  end
end

-- Jobs per second that workers are known to take: measured, and never more than the queue's limit.
local function capacity()
  local rate, limit = meta('rate'), meta('limit')
  if limit > 0 and (rate == 0 or limit < rate) then
    return limit
  end
  return rate
end

-- Microseconds since workers were last heard of, beyond what an idle one is silent anyway: what has been away
-- for a while is expected to stay away for as long again.
local function away()
  local seen = meta('seen')
  local silent = now - seen
  return seen > 0 and silent > 3000000 and silent or 0
end
