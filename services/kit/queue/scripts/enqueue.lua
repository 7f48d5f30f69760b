#!lua
-- Adds jobs, all or none.
-- ARGV: now, most waiting, owed, remember, then for each job: id, priority, company, not before, deadline, payload.
-- Returns {'added', number}, or why not: {'draining'}, {'full', wait} or {'late', wait, beyond the deadline}.
local FIRST, FIELDS = 5, 6
local most, owed, remember = tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4])
local count = (#ARGV - FIRST + 1) / FIELDS

-- What decides how long the lane of a company waits.
local function look(lane, priority)
  local own = redis.call('ZLEXCOUNT', WAITING, '[' .. lane .. '\0', '(' .. lane .. '\1')
  local lanes = redis.call('ZCOUNT', RING, priority * SPAN, '(' .. string.format('%.0f', (priority + 1) * SPAN))
  return {
    all = redis.call('ZLEXCOUNT', WAITING, '-', '(' .. priority + 1),
    urgent = redis.call('ZLEXCOUNT', WAITING, '-', '(' .. priority),
    own = own,
    others = own > 0 and lanes - 1 or lanes,
  }
end

-- Jobs that would go before one more in the lane: all that is more urgent, what the company has there already,
-- and a turn of each other lane for each of those and one more; never more than there are. `joining` go before it
-- into the same lane.
local function ahead(line, joining)
  local before = line.own + joining
  return math.min(line.all + joining, line.urgent + before + (before + 1) * line.others)
end

if not owed then
  if redis.call('HGET', META, 'draining') == '1' then
    return {'draining'}
  end
  local rate, silence = capacity(), away()
  local waiting = redis.call('ZCARD', WAITING) + redis.call('ZCARD', DELAYED)
  if waiting + count > most then
    return {'full', rate > 0 and math.ceil(count * 1000000 / rate) or 1000000}
  end
  local lines, joining, wait, late = {}, {}, 0, 0
  for at = FIRST, #ARGV, FIELDS do
    local start, deadline = math.max(now, tonumber(ARGV[at + 3])), tonumber(ARGV[at + 4])
    local lane = lane_of(ARGV[at + 1], ARGV[at + 2])
    if deadline > 0 then
      lines[lane] = lines[lane] or look(lane, tonumber(ARGV[at + 1]))
      local own = silence + (rate > 0 and ahead(lines[lane], joining[lane] or 0) * 1000000 / rate or 0)
      -- A job that begins later finds the queue as it will be then, which nobody knows.
      if start > now then
        own = 0
      end
      if start + own >= deadline then
        wait, late = math.max(wait, own), math.max(late, start + own - deadline)
      end
    end
    if start <= now then
      joining[lane] = (joining[lane] or 0) + 1
    end
  end
  if late > 0 then
    return {'late', math.ceil(wait), math.ceil(late)}
  end
end

local ids = {}
for at = FIRST, #ARGV, FIELDS do
  ids[#ids + 1] = ARGV[at]
end
local known = redis.call('HMGET', JOBS, unpack(ids))
local added, records, members, seen, twice = 0, {}, {}, {}, {}
for n, id in ipairs(ids) do
  local at = FIRST + (n - 1) * FIELDS
  local priority, company, not_before = tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 3])
  local deadline, payload = tonumber(ARGV[at + 4]), ARGV[at + 5]
  local remembered = remember > 0 and tonumber(redis.call('ZSCORE', DONE, id) or 0) > now
  if not (known[n] or remembered or twice[id]) then
    twice[id] = true
    added = added + 1
    -- Jobs of one batch keep their order.
    local ready = not_before > 0 and not_before or now + n - 1
    records[#records + 1] = id
    records[#records + 1] = struct.pack(RECORD, priority, 0, 0, ready, deadline, #company, company) .. payload
    if not_before > now then
      redis.call('ZADD', DELAYED, ready, id)
    else
      local lane = lane_of(priority, company)
      members[#members + 1] = 0
      members[#members + 1] = member_of(lane, ready, id)
      joined(lane, ready, seen)
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
  redis.call('ZADD', WAITING, unpack(members))
end
if added > 0 then
  wake()
end
return {'added', added}
