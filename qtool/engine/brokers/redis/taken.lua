-- with common
-- Ready jobs, and those that Celery's own code has published again, that have a result of Celery's, in a stretch of the
-- records: {from which key on, without it, how many, how many where a queue has fewer messages than records that say
-- they are ready, whether to look for messages that are gone, for how many seconds those may stay away}.
-- Returns the last key (false at the end), ids and results, the ids of those whose message has stayed away though a
-- result was to be expected, and of those of which none was.
local from, most, hurry, thorough, patience = A[4], A[5], A[6], A[7], A[8]
-- Messages that are gone over in one go, and how old a claim is that was not made a moment ago.
local GONE_OVER, QUIET = 10000, 60

for _, queue in ipairs(call('SMEMBERS', Q .. 'queues')) do
  local said = call('HMGET', Q .. 'counts:' .. queue, 'ready', 'held')
  local ready = tonumber(said[1] or 0) - tonumber(said[2] or 0)
  if ready > 0 then
    for step = 1, 4 do ready = ready - call('LLEN', P .. queue .. SUFFIX[step]) end
    if ready > 0 then most = hurry end
  end
end

-- By queue, the records whose message nobody holds: when that was first seen, by id.
local missed = {}

local function look_out_for(id)
  local held, ready_at, queue, tag, gone = unpack(call('HMGET', J .. id, 'h', 'ra', 'q', 'dt', 'gn'))
  -- An id that JSON writes otherwise is not found in a message.
  if (held and held ~= '') or not queue or not match(id, '^[%w%-_.:]+$') then return end
  if (tonumber(ready_at or '') or now) > now - QUIET then return end
  if call('HEXISTS', P .. 'unacked', tag or id) == 1 then
    if gone then call('HDEL', J .. id, 'gn') end
    return
  end
  missed[queue] = missed[queue] or {}
  missed[queue][id] = gone or ''
end

local function seen(missing, raw)
  local id = match(raw, OURS)
  if id then
    missing[id] = nil
    return
  end
  for each in raw:gmatch('id":%s*"([^"\\]+)"') do missing[each] = nil end
end

-- Those of a queue whose message is in none of its lists; nil where there is too much to go over.
local function in_no_list(queue, missing)
  local length = 0
  for step = 1, 4 do length = length + call('LLEN', P .. queue .. SUFFIX[step]) end
  if length > GONE_OVER then return {} end
  local before = {}
  for id, gone in pairs(missing) do before[id] = gone end
  for step = 1, 4 do
    local list = P .. queue .. SUFFIX[step]
    for at = 0, call('LLEN', list) - 1, 500 do
      for _, raw in ipairs(call('LRANGE', list, at, at + 499)) do seen(missing, raw) end
    end
  end
  for id, gone in pairs(before) do
    if gone ~= '' and not missing[id] then call('HDEL', J .. id, 'gn') end
  end
  return missing
end

local stretch = call('ZRANGEBYSCORE', Q .. 'jobs', '(' .. from, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local found, last, bytes = {}, false, 0
local whole = true
for i = 1, #stretch, 2 do
  last = stretch[i + 1]
  local id = stretch[i]
  local state, departed = unpack(call('HMGET', J .. id, 's', 'tm'))
  if state == 'ready' or (state == 'retry' and departed) then
    local meta = call('GET', metas .. id)
    -- A result of the attempt before does not tell of this one.
    local ended_there = meta and not meta:find('"status": ?"RETRY"')
    if thorough and not ended_there and state == 'ready' and not departed then look_out_for(id) end
    if meta then
      found[#found + 1] = id
      found[#found + 1] = meta
      bytes = bytes + #meta
      if bytes > 4000000 then
        whole = false
        break
      end
    end
  end
end
-- Whether a worker of Celery's would have kept its result: it has kept that of another of its task, and is not asked not to.
local function answers(id)
  local message = call('GET', M .. id) or ''
  return call('SISMEMBER', Q .. 'answered', call('HGET', J .. id, 't') or '') == 1
    and not message:find('"ignore_result": ?true')
end

local lost, silent = {}, {}
for queue, missing in pairs(missed) do
  for id, gone in pairs(in_no_list(queue, missing)) do
    if gone == '' then
      call('HSET', J .. id, 'gn', now_text)
    elseif now - tonumber(gone) >= patience then
      local which = answers(id) and lost or silent
      which[#which + 1] = id
    end
  end
end
return {(not whole or #stretch == 2 * most) and last, found, lost, silent}
