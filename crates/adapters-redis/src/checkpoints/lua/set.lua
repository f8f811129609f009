-- time to live in milliseconds or nothing, whether to create; then of each key: commit, prepare
local _, stamp = now()
local answers = {}
for place, key in ipairs(KEYS) do
  local commit, prepare = ARGV[2 * place + 1], ARGV[2 * place + 2]
  -- A key that holds something else is answered with the server's error, and the others go on.
  local held = redis.pcall('HMGET', key, 'commit', 'prepare', 'owner')
  if held.err then
    answers[place] = held
  else
    local outcome, details
    if ARGV[1] ~= '' and held[3] then
      outcome, details = 'owned', {held[3]}
    else
      outcome, details = forward(held[1], held[2], commit, prepare, ARGV[2])
    end
    if outcome == 'applied' then
      redis.call('HSET', key, 'commit', commit, 'prepare', prepare, 'updated_at', stamp)
    end
    if outcome == 'applied' or outcome == 'unchanged' then
      if ARGV[1] ~= '' then
        redis.call('PEXPIRE', key, ARGV[1])
      else
        redis.call('PERSIST', key)
      end
    end
    answers[place] = answer(outcome, details)
  end
end
return answers
