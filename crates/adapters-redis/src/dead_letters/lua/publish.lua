-- KEYS: stream, index. ARGV: identity, how many letters at most, class, message, attempts, then the event, field by
-- field. A letter that is there keeps its event: a new entry takes the old one's place.
local identity = ARGV[1]
local entry = {'class', ARGV[3], 'message', ARGV[4], 'attempts', ARGV[5]}
local found = redis.call('ZRANGEBYLEX', KEYS[2], '[' .. identity .. ':', '(' .. identity .. ';', 'LIMIT', 0, 1)[1]
local old = nil
if found then
  local id = string.sub(found, #identity + 2)
  local read = redis.call('XRANGE', KEYS[1], id, id)[1]
  if read then
    old = id
    -- The first six are the old reason.
    for place = 7, #read[2] do
      entry[place] = read[2][place]
    end
  end
end
if not old then
  if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[2]) then
    return {'full'}
  end
  for place = 6, #ARGV do
    entry[#entry + 1] = ARGV[place]
  end
end
local id = redis.call('XADD', KEYS[1], '*', unpack(entry))
redis.call('ZADD', KEYS[2], 0, identity .. ':' .. id)
if found then
  redis.call('ZREM', KEYS[2], found)
end
if old then
  redis.call('XDEL', KEYS[1], old)
end
return {'published'}
