#!lua flags=allow-oom
-- Leases jobs to the caller. It runs in a full Redis too, since that is how a full Redis is emptied.
-- It first selects jobs, then writes all changes with one command per key.
-- ARGV: now, max jobs, lease, max attempts, aging, deadline margin.
-- Returns {epoch, microseconds until the next job is due or -1, then for each job: id, company, priority,
-- disposition, attempt, waited, payload}.
local RUN, EXPIRED, EXHAUSTED = 0, 1, 2
-- Every 2nd selection is for a job near its deadline, every 10th for an aged job.
local DEADLINE_INTERVAL, AGING_INTERVAL = 2, 10
-- Maximum number of jobs moved between sets per call, in addition to those returned.
local MAX_MOVES = 100
-- Length of a throughput measurement.
local WINDOW = 1000000
local max_jobs, lease, max_attempts = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local aging, margin = tonumber(ARGV[5]), tonumber(ARGV[6])

local ids, dispositions = {}, {}
local function select_job(id, disposition)
  ids[#ids + 1] = id
  dispositions[#dispositions + 1] = disposition
end

local function read_record(id)
  local record = redis.call('HGET', JOBS, id)
  local priority, attempts, _, ready_at, deadline, company, at = struct.unpack(RECORD, record)
  return priority, attempts, ready_at, deadline, company, record:sub(at)
end

-- Expired leases and due delays --------------------------------------------------------------------------------
-- A job with an expired lease becomes ready again, unless that was its last attempt.
local oldest = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, MAX_MOVES)) do
  local priority, attempts, ready_at, deadline, company, payload = read_record(id)
  if attempts < max_attempts then
    redis.call('ZREM', LEASES, id)
    write_record(id, priority, attempts, 0, ready_at, deadline, company, payload)
    make_ready(id, priority, company, ready_at, deadline, oldest)
  elseif #ids < max_jobs then
    select_job(id, EXHAUSTED)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, MAX_MOVES)) do
  local priority, _, ready_at, deadline, company = read_record(id)
  redis.call('ZREM', DELAYED, id)
  make_ready(id, priority, company, ready_at, deadline, oldest)
end

-- Lanes: their ready jobs in order, without those selected by this call ------------------------------------------
local selected, removed, lanes = {}, {}, {}
local fetch = 2

local function lane_state(lane)
  if not lanes[lane] then
    lanes[lane] = {members = {}, at = 1, from = '[' .. lane .. '\0', charged = 0}
  end
  return lanes[lane]
end

local function peek(lane)
  local state = lane_state(lane)
  while true do
    local member = state.members[state.at]
    if member and not selected[member] then
      return member
    elseif member then
      state.at = state.at + 1
    elseif state.ended then
      return nil
    else
      state.members = redis.call('ZRANGEBYLEX', READY, state.from, '(' .. lane .. '\1', 'LIMIT', 0, fetch)
      state.at, state.ended = 1, #state.members < fetch
      state.from = '(' .. (state.members[#state.members] or '')
    end
  end
end

local function pop_member(member)
  selected[member] = true
  removed[#removed + 1] = member
  return member:sub(-ID_BYTES)
end

local function pop_id(id)
  local priority, _, ready_at, _, company = read_record(id)
  local lane = lane_of(priority, company)
  local member = member_of(lane, ready_at, id)
  return not selected[member] and pop_member(member), lane_state(lane)
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, max_jobs - #ids)) do
  select_job(pop_id(id), EXPIRED)
end

-- Selection ----------------------------------------------------------------------------------------------------
local paused, rate_limit = redis.call('HGET', META, 'paused') == '1', meta('rate_limit')
local free_slots = max_jobs - #ids
local allowed, tokens = paused and 0 or free_slots, 0
if rate_limit > 0 then
  -- A token bucket of one second; a new one is full.
  tokens = math.min(math.max(1, rate_limit), meta('tokens') + (now - meta('refilled_at')) * rate_limit / 1000000)
  allowed = math.min(allowed, math.floor(tokens))
end

local near_deadline, aged, ring, requeued, served_positions, scores = {}, {}, {}, {}, {}, {}
local next_near_deadline, next_aged, next_ring, next_requeued = 1, 1, 1, 1
if allowed > 0 then
  local count = math.ceil(allowed / DEADLINE_INTERVAL)
  local earliest = '(' .. string.format('%.0f', now)
  near_deadline = redis.call('ZRANGEBYSCORE', DEADLINES, earliest, now + margin, 'LIMIT', 0, count)
  count = math.ceil(allowed / AGING_INTERVAL)
  aged = redis.call('ZRANGEBYSCORE', HEADS, '-inf', now - aging, 'LIMIT', 0, count)
  ring = redis.call('ZRANGE', RING, 0, allowed - 1, 'WITHSCORES')
  fetch = math.min(100, math.ceil(2 * allowed / math.max(1, #ring)) + 1)
end

local function pop_near_deadline()
  while near_deadline[next_near_deadline] do
    local id, state = pop_id(near_deadline[next_near_deadline])
    next_near_deadline = next_near_deadline + 1
    if id then
      state.charged = state.charged + 1
      return id
    end
  end
end

local function pop_aged()
  while aged[next_aged] do
    local lane = aged[next_aged]
    local member = peek(lane)
    next_aged = next_aged + 1
    if member then
      lane_state(lane).charged = lane_state(lane).charged + 1
      return pop_member(member)
    end
  end
end

-- The lane with the lowest score, of the ring as it was read and the lanes served by this call; both are sorted.
local function next_lane()
  local lane, score, head = ring[next_ring], tonumber(ring[next_ring + 1]), requeued[next_requeued]
  if head and (not lane or head.score < score or (head.score == score and head.lane < lane)) then
    next_requeued = next_requeued + 1
    return head.lane, head.score
  end
  next_ring = next_ring + 2
  return lane, score
end

local function pop_round_robin()
  while true do
    local lane, score = next_lane()
    if not lane then
      return nil
    end
    local member = peek(lane)
    if member then
      local priority = tonumber(lane:sub(1, 1))
      served_positions[priority] = score - priority * SPAN
      scores[lane] = score + 1
      requeued[#requeued + 1] = {lane = lane, score = score + 1}
      return pop_member(member)
    end
  end
end

local selection, started = meta('selection'), 0
while started < allowed do
  selection = selection + 1
  local id = (selection % DEADLINE_INTERVAL == 0 and pop_near_deadline())
    or (selection % AGING_INTERVAL == 0 and pop_aged()) or pop_round_robin()
  if not id then
    break
  end
  select_job(id, RUN)
  started = started + 1
end

-- Writing ------------------------------------------------------------------------------------------------------
local heads, positions, emptied, served = {}, {}, {}, {}
for lane, state in pairs(lanes) do
  local member = peek(lane)
  local position = (scores[lane] or tonumber(redis.call('ZSCORE', RING, lane) or 0)) + state.charged
  if member then
    heads[#heads + 1] = ready_at_of(member)
    heads[#heads + 1] = lane
    positions[#positions + 1] = position
    positions[#positions + 1] = lane
  else
    emptied[#emptied + 1] = lane
    served[#served + 1] = position
    served[#served + 1] = lane
  end
end
local function call(command, key, values)
  if #values > 0 then
    redis.call(command, key, unpack(values))
  end
end
call('ZREM', READY, removed)
call('ZADD', HEADS, heads)
call('ZADD', RING, positions)
call('ZREM', HEADS, emptied)
call('ZREM', RING, emptied)
call('ZADD', SERVED, served)

local epoch = math.max(meta('epoch') + 1, now)
local reply, leased, records, timed, expired = {epoch, -1}, {}, {}, {}, 0
for at, record in ipairs(#ids > 0 and redis.call('HMGET', JOBS, unpack(ids)) or {}) do
  local id, disposition = ids[at], dispositions[at]
  local priority, attempts, _, ready_at, deadline, company, rest = struct.unpack(RECORD, record)
  if deadline > 0 then
    timed[#timed + 1] = id
    if disposition == RUN and deadline <= now then
      disposition = EXPIRED
    end
  end
  attempts = disposition == RUN and attempts + 1 or attempts
  expired = disposition == EXPIRED and expired + 1 or expired
  local payload, n = record:sub(rest), #reply
  records[#records + 1] = id
  records[#records + 1] = struct.pack(RECORD, priority, attempts, epoch, ready_at, deadline, #company, company)
    .. payload
  leased[#leased + 1] = now + lease
  leased[#leased + 1] = id
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = id, company, priority, disposition
  reply[n + 5], reply[n + 6], reply[n + 7] = attempts, math.max(0, now - ready_at), payload
end
call('HSET', JOBS, records)
call('ZADD', LEASES, leased)
call('ZREM', DEADLINES, timed)
if expired > 0 then
  redis.call('HINCRBY', META, 'expired', expired)
end

-- Throughput over windows of one second. A window in which the queue was empty at times yields a lower bound.
local ready = redis.call('ZCARD', READY)
local window_at, count, was_empty = meta('window_started_at'), meta('window_count') + started, meta('window_was_empty')
local fields = {'epoch', epoch, 'selection', selection, 'last_reserve_at', now}
if ready == 0 then
  was_empty = 1
end
if paused or window_at == 0 then
  window_at, count = now, 0
elseif now - window_at >= WINDOW then
  local sample, rate = count * 1000000 / (now - window_at), meta('throughput')
  rate = (was_empty == 1 or rate == 0) and math.max(rate, sample) or rate * 0.7 + sample * 0.3
  window_at, count, was_empty = now, 0, ready == 0 and 1 or 0
  fields[#fields + 1] = 'throughput'
  fields[#fields + 1] = string.format('%.3f', rate)
end
for _, value in ipairs({'window_started_at', window_at, 'window_count', count, 'window_was_empty', was_empty}) do
  fields[#fields + 1] = value
end
for priority, position in pairs(served_positions) do
  fields[#fields + 1] = 'position' .. priority
  fields[#fields + 1] = position
  local first = priority * SPAN
  redis.call('ZREMRANGEBYSCORE', SERVED, first, '(' .. string.format('%.0f', first + position))
end
if rate_limit > 0 then
  for _, value in ipairs({'tokens', string.format('%.6f', tokens - started), 'refilled_at', now}) do
    fields[#fields + 1] = value
  end
end
redis.call('HSET', META, unpack(fields))

if ready > 0 and not paused and allowed == free_slots then
  wake()
end
local due = math.huge
for _, key in ipairs({DELAYED, LEASES}) do
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  due = math.min(due, tonumber(first[2] or math.huge))
end
if ready > 0 and rate_limit > 0 and not paused then
  due = math.min(due, now + 1000000 * (1 - (tokens - started)) / rate_limit)
end
if due < math.huge then
  reply[2] = math.max(0, math.ceil(due - now))
end
return reply
