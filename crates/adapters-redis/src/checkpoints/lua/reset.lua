-- commit, prepare, expected commit, expected prepare
local held = redis.call('HMGET', KEYS[1], 'commit', 'prepare')
if not held[1] and not held[2] then
  return 'missing'
elseif not (canonical(held[1]) and canonical(held[2])) then
  return {'corrupt', held[1] or '', held[2] or ''}
elseif held[1] ~= ARGV[3] or held[2] ~= ARGV[4] then
  return {'stale', held[1], held[2]}
end
local _, stamp = now()
redis.call('HSET', KEYS[1], 'commit', ARGV[1], 'prepare', ARGV[2], 'updated_at', stamp)
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HINCRBY', KEYS[1], 'generation', 1)
redis.call('HDEL', KEYS[1], 'owner', 'lease_until')
redis.call('PERSIST', KEYS[1])
return 'applied'
