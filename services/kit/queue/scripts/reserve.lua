#!lua flags=allow-oom
-- Hands out jobs. Works in a full Redis too: that is how it gets empty.
-- First it decides who is handed what, then it writes everything with as few commands as there are keys.
-- ARGV: now, most, lease, attempts, patience, risk.
-- Returns {epoch, microseconds until something falls due or -1, then for each job: id, company, priority, fate,
-- attempt, waited, payload}.
local RUN, EXPIRED, EXHAUSTED = 0, 1, 2
-- Every so many turns belong to jobs at risk, and to aged ones.
local RISK_TURN, AGED_TURN = 2, 10
-- Jobs moved between sets per call, beside those handed out.
local SWEEP = 100
local WINDOW = 1000000
local most, lease, attempts_allowed = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local patience, risk = tonumber(ARGV[5]), tonumber(ARGV[6])

local ids, fates = {}, {}
local function pick(id, fate)
  ids[#ids + 1] = id
  fates[#fates + 1] = fate
end

local function read(id)
  local record = redis.call('HGET', JOBS, id)
  local priority, attempts, _, ready, deadline, company, at = struct.unpack(RECORD, record)
  return priority, attempts, ready, deadline, company, record:sub(at)
end

-- What ended or fell due -------------------------------------------------------------------------------------
-- A lease that ended unsettled: back to where the job was, unless every attempt ended like this one.
local joining = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, SWEEP)) do
  local priority, attempts, ready, deadline, company, payload = read(id)
  if attempts < attempts_allowed then
    redis.call('ZREM', LEASES, id)
    write(id, priority, attempts, 0, ready, deadline, company, payload)
    join(id, priority, company, ready, deadline, joining)
  elseif #ids < most then
    pick(id, EXHAUSTED)
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now, 'LIMIT', 0, SWEEP)) do
  local priority, _, ready, deadline, company = read(id)
  redis.call('ZREM', DELAYED, id)
  join(id, priority, company, ready, deadline, joining)
end

-- Lanes: their jobs in order, less those taken by this call ---------------------------------------------------
local taken, removed, lines = {}, {}, {}
local fetch = 2

local function line_of(lane)
  if not lines[lane] then
    lines[lane] = {members = {}, at = 1, from = '[' .. lane .. '\0', charged = 0}
  end
  return lines[lane]
end

local function peek(lane)
  local line = line_of(lane)
  while true do
    local member = line.members[line.at]
    if member and not taken[member] then
      return member
    elseif member then
      line.at = line.at + 1
    elseif line.ended then
      return nil
    else
      line.members = redis.call('ZRANGEBYLEX', WAITING, line.from, '(' .. lane .. '\1', 'LIMIT', 0, fetch)
      line.at, line.ended = 1, #line.members < fetch
      line.from = '(' .. (line.members[#line.members] or '')
    end
  end
end

local function take(member)
  taken[member] = true
  removed[#removed + 1] = member
  return member:sub(-ID_BYTES)
end

local function take_out(id)
  local priority, _, ready, _, company = read(id)
  local lane = lane_of(priority, company)
  local member = member_of(lane, ready, id)
  return not taken[member] and take(member), line_of(lane)
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', now, 'LIMIT', 0, most - #ids)) do
  pick(take_out(id), EXPIRED)
end

-- Turns ------------------------------------------------------------------------------------------------------
local paused, limit = redis.call('HGET', META, 'paused') == '1', meta('limit')
local room = most - #ids
local allowed, tokens = paused and 0 or room, 0
if limit > 0 then
  -- A bucket of one second; a new one is full.
  tokens = math.min(math.max(1, limit), meta('tokens') + (now - meta('filled')) * limit / 1000000)
  allowed = math.min(allowed, math.floor(tokens))
end

local risky, aged, ring, again, reached, scores = {}, {}, {}, {}, {}, {}
local next_risky, next_aged, next_ring, next_again = 1, 1, 1, 1
if allowed > 0 then
  local share = math.ceil(allowed / RISK_TURN)
  risky = redis.call('ZRANGEBYSCORE', DEADLINES, '(' .. string.format('%.0f', now), now + risk, 'LIMIT', 0, share)
  share = math.ceil(allowed / AGED_TURN)
  aged = redis.call('ZRANGEBYSCORE', HEADS, '-inf', now - patience, 'LIMIT', 0, share)
  ring = redis.call('ZRANGE', RING, 0, allowed - 1, 'WITHSCORES')
  fetch = math.min(100, math.ceil(2 * allowed / math.max(1, #ring)) + 1)
end

local function at_risk()
  while risky[next_risky] do
    local id, line = take_out(risky[next_risky])
    next_risky = next_risky + 1
    if id then
      line.charged = line.charged + 1
      return id
    end
  end
end

local function eldest()
  while aged[next_aged] do
    local lane = aged[next_aged]
    local member = peek(lane)
    next_aged = next_aged + 1
    if member then
      line_of(lane).charged = line_of(lane).charged + 1
      return take(member)
    end
  end
end

-- Of those who stand in the ring and those who queued up again, both in order, the one who is first.
local function first_in_ring()
  local lane, score, back = ring[next_ring], tonumber(ring[next_ring + 1]), again[next_again]
  if back and (not lane or back.score < score or (back.score == score and back.lane < lane)) then
    next_again = next_again + 1
    return back.lane, back.score
  end
  next_ring = next_ring + 2
  return lane, score
end

local function in_turn()
  while true do
    local lane, score = first_in_ring()
    if not lane then
      return nil
    end
    local member = peek(lane)
    if member then
      local priority = tonumber(lane:sub(1, 1))
      reached[priority] = score - priority * SPAN
      scores[lane] = score + 1
      again[#again + 1] = {lane = lane, score = score + 1}
      return take(member)
    end
  end
end

local turn, ran = meta('turn'), 0
while ran < allowed do
  turn = turn + 1
  local id = (turn % RISK_TURN == 0 and at_risk()) or (turn % AGED_TURN == 0 and eldest()) or in_turn()
  if not id then
    break
  end
  pick(id, RUN)
  ran = ran + 1
end

-- Writing ----------------------------------------------------------------------------------------------------
local heads, places, left, served = {}, {}, {}, {}
for lane, line in pairs(lines) do
  local member = peek(lane)
  local place = (scores[lane] or tonumber(redis.call('ZSCORE', RING, lane) or 0)) + line.charged
  if member then
    heads[#heads + 1] = ready_of(member)
    heads[#heads + 1] = lane
    places[#places + 1] = place
    places[#places + 1] = lane
  else
    left[#left + 1] = lane
    served[#served + 1] = place
    served[#served + 1] = lane
  end
end
local function call(command, key, values)
  if #values > 0 then
    redis.call(command, key, unpack(values))
  end
end
call('ZREM', WAITING, removed)
call('ZADD', HEADS, heads)
call('ZADD', RING, places)
call('ZREM', HEADS, left)
call('ZREM', RING, left)
call('ZADD', SERVED, served)

local epoch = math.max(meta('epoch') + 1, now)
local reply, leased, records, timed, expired = {epoch, -1}, {}, {}, {}, 0
for at, record in ipairs(#ids > 0 and redis.call('HMGET', JOBS, unpack(ids)) or {}) do
  local id, fate = ids[at], fates[at]
  local priority, attempts, _, ready, deadline, company, rest = struct.unpack(RECORD, record)
  if deadline > 0 then
    timed[#timed + 1] = id
    if fate == RUN and deadline <= now then
      fate = EXPIRED
    end
  end
  attempts = fate == RUN and attempts + 1 or attempts
  expired = fate == EXPIRED and expired + 1 or expired
  local payload, n = record:sub(rest), #reply
  records[#records + 1] = id
  records[#records + 1] = struct.pack(RECORD, priority, attempts, epoch, ready, deadline, #company, company) .. payload
  leased[#leased + 1] = now + lease
  leased[#leased + 1] = id
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = id, company, priority, fate
  reply[n + 5], reply[n + 6], reply[n + 7] = attempts, math.max(0, now - ready), payload
end
call('HSET', JOBS, records)
call('ZADD', LEASES, leased)
call('ZREM', DEADLINES, timed)
if expired > 0 then
  redis.call('HINCRBY', META, 'expired', expired)
end

-- How fast workers take jobs, over windows of a second. One in which the queue was empty at times tells what
-- they can do at least.
local waiting = redis.call('ZCARD', WAITING)
local opened, count, slack = meta('opened'), meta('count') + ran, meta('slack')
local fields = {'epoch', epoch, 'turn', turn, 'seen', now}
if waiting == 0 then
  slack = 1
end
if paused or opened == 0 then
  opened, count = now, 0
elseif now - opened >= WINDOW then
  local sample, rate = count * 1000000 / (now - opened), meta('rate')
  rate = (slack == 1 or rate == 0) and math.max(rate, sample) or rate * 0.7 + sample * 0.3
  opened, count, slack = now, 0, waiting == 0 and 1 or 0
  fields[#fields + 1] = 'rate'
  fields[#fields + 1] = string.format('%.3f', rate)
end
for _, value in ipairs({'opened', opened, 'count', count, 'slack', slack}) do
  fields[#fields + 1] = value
end
for priority, turn_reached in pairs(reached) do
  fields[#fields + 1] = 'turn' .. priority
  fields[#fields + 1] = turn_reached
  local first = priority * SPAN
  redis.call('ZREMRANGEBYSCORE', SERVED, first, '(' .. string.format('%.0f', first + turn_reached))
end
if limit > 0 then
  for _, value in ipairs({'tokens', string.format('%.6f', tokens - ran), 'filled', now}) do
    fields[#fields + 1] = value
  end
end
redis.call('HSET', META, unpack(fields))

if waiting > 0 and not paused and allowed == room then
  wake()
end
local due = math.huge
for _, key in ipairs({DELAYED, LEASES}) do
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  due = math.min(due, tonumber(first[2] or math.huge))
end
if waiting > 0 and limit > 0 and not paused then
  due = math.min(due, now + 1000000 * (1 - (tokens - ran)) / limit)
end
if due < math.huge then
  reply[2] = math.max(0, math.ceil(due - now))
end
return reply
