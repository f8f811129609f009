local held = redis.call('HMGET', KEYS[1], 'epoch', 'generation', 'owner', 'lease_until')
if not held[1] then
  return {'nobody'}
end
local time = now()
local left = (tonumber(held[4]) or 0) - time
return {'owner', held[1], held[2] or '0', held[3] or '', whole(left > 0 and left or 0)}
