#!lua
-- The filling has ended; it counts unless Redis was emptied meanwhile or somebody else has begun.
-- ARGV: now, origin, token.
-- Returns 1 when it counts, else 0.
if meta('filling') ~= tonumber(ARGV[3]) then
  return 0
end
redis.call('HSET', META, 'origin', ARGV[2])
redis.call('HDEL', META, 'filling')
return 1
