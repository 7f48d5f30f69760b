#!lua
-- Asks whether this Redis is still the one that was filled, and takes the filling upon oneself if not.
-- ARGV: now, origin, how long filling may take, then the controls as they were last: paused, draining, limit.
-- Returns {0} when nothing is to be done (or somebody else does it), else {token}.
if redis.call('HGET', META, 'origin') == ARGV[2] or meta('filling') > now then
  return {0, redis.call('HGET', META, 'paused') or '0', redis.call('HGET', META, 'draining') or '0',
    redis.call('HGET', META, 'limit') or '0'}
end
if redis.call('HEXISTS', META, 'origin') == 0 then
  -- A queue that an operator paused does not start again because Redis forgot.
  redis.call('HSET', META, 'paused', ARGV[4], 'draining', ARGV[5], 'limit', ARGV[6])
end
local token = now + tonumber(ARGV[3])
redis.call('HSET', META, 'filling', token)
return {token}
