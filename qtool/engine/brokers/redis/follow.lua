-- with common sending
-- What tasks owe before they end (WIRE.md section 7): a list of {id, token, messages, sizes, results, parts}, and for how
-- long results are kept. A token of false: the job ended without one. Messages are {list, queue, message}; sizes of
-- chords that begin {group, size}; results of other tasks {id, meta}; parts of chords {group, task, index, member, claim}.
-- What was done under a token is not done twice; parts are given again, which changes nothing.
-- Returns for each task, for each of its parts: false, or of a chord that is whole and ours to go on with {its members,
-- what stands at the group's own key}.
local CLAIM_SECONDS = 60
local items, kept = A[4], A[5]

-- As Celery 5.7's own script; 5.6 and earlier look at .j, .s and .t only, which mean the same.
local function give(part)
  local key = groups .. part[1]
  local done = call('GET', key .. '.c')
  if done == 'done' then return false end
  local index = part[3] and string.format('%.0f', part[3]) or '+inf'
  if call('SADD', key .. '.d', part[2] .. ':' .. index) == 1 then call('ZADD', key .. '.j', index, part[4]) end
  for _, suffix in ipairs({'.j', '.t', '.s', '.d', ''}) do call('EXPIRE', key .. suffix, kept) end
  local size = call('GET', key .. '.s')
  if not size then return false end
  if call('ZCARD', key .. '.j') ~= tonumber(size) + tonumber(call('GET', key .. '.t') or 0) then return false end
  -- Whoever claimed it and did not learn of that asks again.
  if done and done ~= part[5] then return false end
  call('SET', key .. '.c', part[5], 'EX', CLAIM_SECONDS)
  return {call('ZRANGE', key .. '.j', 0, -1), call('GET', key)}
end

local answer = {}
for i, item in ipairs(items) do
  local id, token, parts = item[1], item[2], {}
  local held = token and call('HMGET', J .. id, 'tok', 'fo') or {token, true}
  if held[1] == token then
    if held[2] ~= token then
      send(item[3], item[4], item[5], kept)
      if token then call('HSET', J .. id, 'fo', token) end
    end
    for n, part in ipairs(item[6]) do parts[n] = give(part) end
  end
  answer[i] = parts
end
finish()
return answer
