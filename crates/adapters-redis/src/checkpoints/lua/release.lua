-- owner, epoch
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return {'lost'}
end
redis.call('HDEL', KEYS[1], 'owner', 'lease_until')
return {'released'}
