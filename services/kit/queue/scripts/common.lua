-- Prepended to every script. All keys of a queue contain its name as a {hashtag} and so share a cluster slot.
-- Every script receives all keys.
--
-- jobs      hash    id -> record
-- ready     zset    lane, 0, time since when the job is ready, id; all scores are 0, so that a lane is a byte range
-- ring      zset    lane -> priority * SPAN + position; the lane with the lowest score is served next
-- served    zset    lane without ready jobs -> its last ring score, until the ring has passed that position
-- heads     zset    lane -> time since when its oldest job is ready
-- deadlines zset    id -> deadline, of ready jobs that have one
-- delayed   zset    id -> earliest start
-- leases    zset    id -> lease expiry
-- done      zset    id -> time until which the id counts as a duplicate
-- meta      hash    controls, counters, measurements
-- wake      list    at most one token, which wakes one blocked consumer
--
-- A lane is one digit of priority followed by the company. Times are microseconds since the epoch; ids have 16 bytes.
local JOBS, READY, RING, SERVED, HEADS, DEADLINES, DELAYED, LEASES, DONE, META, WAKE = unpack(KEYS)
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

local function write_record(id, priority, attempts, epoch, ready_at, deadline, company, payload)
  local head = struct.pack(RECORD, priority, attempts, epoch, ready_at, deadline, #company, company)
  redis.call('HSET', JOBS, id, head .. payload)
end

local function lane_of(priority, company)
  return priority .. company
end

local function member_of(lane, ready_at, id)
  return lane .. '\0' .. struct.pack('>I7', ready_at) .. id
end

local function ready_at_of(member)
  return (struct.unpack('>I7', member, #member - ID_BYTES - 6))
end

-- Updates the ring and the heads when jobs enter a lane, once per lane and script where possible.
-- `oldest` caches the earliest ready_at per lane within the script.
local function enter_lane(lane, ready_at, oldest)
  if oldest[lane] and oldest[lane] <= ready_at then
    return
  end
  oldest[lane] = ready_at
  local priority = tonumber(lane:sub(1, 1))
  -- A lane that returns is placed behind the lane served last; otherwise a small tenant would overtake a backlog
  -- forever. Exception: a lane not yet served in this round keeps its position; otherwise lanes at the end of a
  -- round would miss the next one.
  local position = priority * SPAN + meta('position' .. priority)
  local last_position = tonumber(redis.call('ZSCORE', SERVED, lane) or 0)
  redis.call('ZADD', RING, 'NX', last_position == position and position or position + 1, lane)
  redis.call('ZADD', HEADS, 'LT', ready_at, lane)
end

local function make_ready(id, priority, company, ready_at, deadline, oldest)
  local lane = lane_of(priority, company)
  redis.call('ZADD', READY, 0, member_of(lane, ready_at, id))
  enter_lane(lane, ready_at, oldest)
  if deadline > 0 then
    redis.call('ZADD', DEADLINES, deadline, id)
  end
end

-- One token at a time: a consumer that takes it and leaves jobs behind puts another one.
local function wake()
  if redis.call('LLEN', WAKE) == 0 then
    redis.call('LPUSH', WAKE, '1')
  end
end

-- Jobs per second that consumers take: the measured throughput, at most the rate limit. 0 means unknown.
local function capacity()
  local throughput, rate_limit = meta('throughput'), meta('rate_limit')
  if rate_limit > 0 and (throughput == 0 or rate_limit < throughput) then
    return rate_limit
  end
  return throughput
end

-- Microseconds since the last reserve call; 0 below 3 s, because an idle consumer may block for that long. Consumers
-- absent for a while are expected to stay absent for as long again.
local function idle_time()
  local last = meta('last_reserve_at')
  local elapsed = now - last
  return last > 0 and elapsed > 3000000 and elapsed or 0
end
