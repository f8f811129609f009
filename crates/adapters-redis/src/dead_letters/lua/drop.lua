-- KEYS: stream, index. ARGV: members of the index. Those whose entries are gone are taken out.
local dropped = 0
for _, member in ipairs(ARGV) do
  local id = string.match(member, ':(.*)$')
  if id and #redis.call('XRANGE', KEYS[1], id, id) == 0 then
    dropped = dropped + redis.call('ZREM', KEYS[2], member)
  end
end
return {tostring(dropped)}
