-- Goes over a stretch of an index of records (id by key) and picks those in some states and queues.
-- KEYS: the index. ARGV: from which key on, without it ('+inf' or '-inf' for all), 'old' or 'new' first, how many to
-- look at, how many to pick at most, what the keys of records begin with, states and queues as '\n'-separated names
-- (empty for any).
-- Returns the last key looked at (false at the end), and the keys and ids picked.
local from, oldest, count, most, records = ARGV[1], ARGV[2] == 'old', tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local function names(joined)
  if joined == '' then return nil end
  local set = {}
  for name in joined:gmatch('[^\n]+') do set[name] = true end
  return set
end
local states, queues = names(ARGV[6]), names(ARGV[7])
local stretch
if oldest then
  stretch = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. from, '+inf', 'WITHSCORES', 'LIMIT', 0, count)
else
  stretch = redis.call('ZREVRANGEBYSCORE', KEYS[1], '(' .. from, '-inf', 'WITHSCORES', 'LIMIT', 0, count)
end
local found, last = {}, false
for i = 1, #stretch, 2 do
  local id = stretch[i]
  last = stretch[i + 1]
  local fits = true
  if states or queues then
    local said = redis.call('HMGET', records .. id, 's', 'q')
    fits = said[1] and (not states or states[said[1]]) and (not queues or queues[said[2]])
  end
  if fits then
    found[#found + 1] = last
    found[#found + 1] = id
    if #found >= 2 * most then return {last, found} end
  end
end
if #stretch < 2 * count then last = false end
return {last, found}
