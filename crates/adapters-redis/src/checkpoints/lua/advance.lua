-- owner, epoch, lease in microseconds, commit or nothing, prepare, whether to create
local held = redis.call('HMGET', KEYS[1], 'commit', 'prepare', 'owner', 'epoch')
if held[3] ~= ARGV[1] or held[4] ~= ARGV[2] then
  return {'lost'}
end
local outcome = {'renewed'}
if ARGV[4] ~= '' then
  outcome = forward(held[1], held[2], ARGV[4], ARGV[5], ARGV[6])
  if outcome[1] == 'missing' or outcome[1] == 'corrupt' then
    return outcome
  end
end
local time = now()
redis.call('HSET', KEYS[1], 'lease_until', whole(time + ARGV[3]))
redis.call('PERSIST', KEYS[1])
return outcome
