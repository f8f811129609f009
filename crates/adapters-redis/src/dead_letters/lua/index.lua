-- KEYS: stream, index. ARGV: members for the index. Those whose entries are there, and that it does not have, are put in.
local added = 0
for _, member in ipairs(ARGV) do
  local id = string.match(member, ':(.*)$')
  if id and #redis.call('XRANGE', KEYS[1], id, id) == 1 then
    added = added + redis.call('ZADD', KEYS[2], 'NX', 0, member)
  end
end
return {tostring(added)}
