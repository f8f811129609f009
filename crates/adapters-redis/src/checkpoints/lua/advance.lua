-- owner, lease in microseconds, whether to create; then of each key: epoch, commit or nothing, prepare
local time, stamp = now()
local lease = whole(time + ARGV[2])
local answers = {}
for place, key in ipairs(KEYS) do
  local epoch, commit, prepare = ARGV[3 * place + 1], ARGV[3 * place + 2], ARGV[3 * place + 3]
  -- A key that holds something else is answered with the server's error, and the others go on.
  local held = redis.pcall('HMGET', key, 'commit', 'prepare', 'owner', 'epoch')
  if held.err then
    answers[place] = held
  elseif held[3] ~= ARGV[1] or held[4] ~= epoch then
    answers[place] = 'lost'
  else
    local outcome, details = 'renewed', nil
    if commit ~= '' then
      outcome, details = forward(held[1], held[2], commit, prepare, ARGV[3])
    end
    -- One command for both: many of these keys come at once.
    if outcome == 'applied' then
      redis.call('HSET', key, 'commit', commit, 'prepare', prepare, 'updated_at', stamp, 'lease_until', lease)
      redis.call('PERSIST', key)
    elseif outcome == 'renewed' or outcome == 'unchanged' or outcome == 'stale' then
      redis.call('HSET', key, 'lease_until', lease)
      redis.call('PERSIST', key)
    end
    answers[place] = answer(outcome, details)
  end
end
return answers
