-- KEYS: stream, index. ARGV: from where, how many. Both counts are answered: they are the same, unless somebody else
-- has removed entries.
local reply = {
  tostring(redis.call('XLEN', KEYS[1])),
  tostring(redis.call('ZCARD', KEYS[2])),
}
for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], '+', 'LIMIT', 0, ARGV[2])) do
  reply[#reply + 1] = member
end
return reply
