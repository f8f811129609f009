-- the key; of KEYS the checkpoint, the registry
if redis.call('HEXISTS', KEYS[1], 'commit') == 1 then
  return redis.call('SADD', KEYS[2], ARGV[1])
end
return redis.call('SREM', KEYS[2], ARGV[1])
