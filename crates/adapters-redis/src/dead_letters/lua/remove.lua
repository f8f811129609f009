-- KEYS: stream, index. ARGV: identity.
local identity = ARGV[1]
local found = redis.call('ZRANGEBYLEX', KEYS[2], '[' .. identity .. ':', '(' .. identity .. ';', 'LIMIT', 0, 1)[1]
if not found then
  return {'0'}
end
local gone = redis.call('XDEL', KEYS[1], string.sub(found, #identity + 2))
redis.call('ZREM', KEYS[2], found)
if redis.call('XLEN', KEYS[1]) == 0 then
  redis.call('UNLINK', KEYS[1])
end
return {tostring(gone)}
