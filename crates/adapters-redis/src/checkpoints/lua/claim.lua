-- owner, lease in microseconds, whether to create
local held = redis.call('HMGET', KEYS[1], 'commit', 'prepare', 'owner', 'lease_until')
local time = now()
if held[3] and held[3] ~= ARGV[1] then
  local left = (tonumber(held[4]) or 0) - time
  if left > 0 then
    return {'held', held[3], whole(left)}
  end
end
if held[1] or held[2] then
  if not (canonical(held[1]) and canonical(held[2])) then
    return {'corrupt', held[1] or '', held[2] or ''}
  end
elseif ARGV[3] ~= '1' and redis.call('EXISTS', KEYS[1]) == 0 then
  return {'unknown'}
end
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSETNX', KEYS[1], 'generation', '0')
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'lease_until', whole(time + ARGV[2]))
redis.call('PERSIST', KEYS[1])
local won = redis.call('HMGET', KEYS[1], 'epoch', 'generation', 'commit', 'prepare', 'updated_at')
return {'won', won[1], won[2], won[3], won[4], won[5]}
