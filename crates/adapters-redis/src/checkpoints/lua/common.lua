-- Positions are canonical decimal texts. They are compared by length, then byte by byte: as numbers they would lose
-- their last digits, and as texts of Lua they would be sorted by the server's locale.
local function canonical(text)
  return text and #text <= 20 and (text == '0' or string.find(text, '^[1-9][0-9]*$') ~= nil)
end

local function order(one, other)
  if #one ~= #other then
    return #one < #other and -1 or 1
  end
  for place = 1, #one do
    local a, b = string.byte(one, place), string.byte(other, place)
    if a ~= b then
      return a < b and -1 or 1
    end
  end
  return 0
end

-- The server's time in microseconds: a number to count with, and a text to keep.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2], time[1] .. string.rep('0', 6 - #time[2]) .. time[2]
end

local function whole(number)
  return string.format('%.0f', number)
end

-- Whether it is forward: a word, and where one is at fault the position that is held. Where there is no checkpoint, one
-- is created only if that was said: the key is registered before. What is 'applied' is for the caller to write, with
-- what else it has to write.
local function forward(commit, prepare, to_commit, to_prepare, create)
  if not commit and not prepare then
    return create == '1' and 'applied' or 'missing'
  elseif not (canonical(commit) and canonical(prepare)) then
    return 'corrupt', {commit or '', prepare or ''}
  end
  local found = order(commit, to_commit)
  if found == 0 then
    found = order(prepare, to_prepare)
  end
  if found > 0 then
    return 'stale', {commit, prepare}
  end
  return found == 0 and 'unchanged' or 'applied'
end

-- What is answered for a key: the word alone, or before what belongs to it.
local function answer(outcome, details)
  return details and {outcome, unpack(details)} or outcome
end
