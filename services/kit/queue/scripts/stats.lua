#!lua flags=no-writes
-- Returns the state of the queue.
-- ARGV: now, deadline margin, number of priorities.
-- Returns numbers and strings in the order in which `RedisQueue.stats` reads them.
local priorities = tonumber(ARGV[3])
local reply = {
  redis.call('ZCARD', DELAYED), redis.call('ZCARD', LEASES), redis.call('ZCARD', RING),
  redis.call('ZCOUNT', DEADLINES, '-inf', now + tonumber(ARGV[2])),
}
local oldest = redis.call('ZRANGE', HEADS, 0, 0, 'WITHSCORES')
reply[#reply + 1] = oldest[2] and math.max(0, now - tonumber(oldest[2])) or 0
for _, field in ipairs({'paused', 'draining', 'rate_limit', 'throughput', 'added', 'done', 'expired'}) do
  reply[#reply + 1] = redis.call('HGET', META, field) or '0'
end
local rate, previous = capacity(), 0
for priority = 0, priorities - 1 do
  local cumulative = redis.call('ZLEXCOUNT', READY, '-', '(' .. priority + 1)
  reply[#reply + 1] = cumulative - previous
  reply[#reply + 1] = math.ceil(idle_time() + (rate > 0 and cumulative * 1000000 / rate or 0))
  previous = cumulative
end
return reply
