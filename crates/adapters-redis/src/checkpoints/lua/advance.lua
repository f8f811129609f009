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
local time, stamp = now()
local lease = whole(time + ARGV[3])
-- One command for both: many of these calls come at once.
if outcome[1] == 'applied' then
  redis.call('HSET', KEYS[1], 'commit', ARGV[4], 'prepare', ARGV[5], 'updated_at', stamp, 'lease_until', lease)
else
  redis.call('HSET', KEYS[1], 'lease_until', lease)
end
redis.call('PERSIST', KEYS[1])
return outcome
