-- commit, prepare, time to live in milliseconds or nothing, whether to create
local held = redis.call('HMGET', KEYS[1], 'commit', 'prepare', 'owner')
if ARGV[3] ~= '' and held[3] then
  return {'owned', held[3]}
end
local outcome = forward(held[1], held[2], ARGV[1], ARGV[2], ARGV[4])
if outcome[1] == 'applied' then
  put(ARGV[1], ARGV[2])
end
if outcome[1] == 'applied' or outcome[1] == 'unchanged' then
  if ARGV[3] ~= '' then
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
  else
    redis.call('PERSIST', KEYS[1])
  end
end
return outcome
