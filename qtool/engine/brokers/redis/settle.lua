-- with common
-- Ends of runs, in order. A plain success: {id, token, false, at, started at, whether there is a result (Celery's), its
-- text where that cannot tell it, queue, seconds}; the times are text. Any other: {id, token, event, at, started at,
-- whether there is a result, text, state, due, reason, error (JSON), crash, pieces of output, new message, told}; false for
-- None. Then, of each, the result and the output. `told`: Celery did all but the record, and may have published the job anew.
-- Returns the state each job is in now, false for one whose claim is gone; nothing where each did as it was said to.
local items = A[4]
advance()
local unacked, index = batch('HDEL', P .. 'unacked'), batch('ZREM', P .. 'unacked_index')
local running, over = batch('ZREM', Q .. 'in:running'), batch('ZADD', Q .. 'ended:succeeded')
local states, succeeded = {}, {}
local seconds = keep.succeeded or 0
local kept_for = string.format('%d', seconds)
local plain = true

local function succeed(item)
  local id, queue, at = item[1], item[8], item[4]
  local key, result = J .. id, nil
  if item[6] then result, RAW = ARGV[RAW], RAW + 1 end
  local held = call('HMGET', key, 'tok', 'x')
  if held[1] ~= item[2] then return false end
  call('HSET', key, 's', 'succeeded', 'tok', '', 'sa', item[5], 'fa', at)
  if item[7] then call('HSET', key, 'r', item[7]) end
  local tag = id
  if held[2] then
    local more = call('HMGET', key, 'u', 'ck', 'xa', 'dt', 'nx')
    if more[5] then let_go(id) end
    call('HDEL', key, 'e', 'st', 'pr')
    if more[1] and call('GET', Q .. 'unique:' .. more[1]) == id then call('DEL', Q .. 'unique:' .. more[1]) end
    if more[2] then
      if call('HINCRBY', Q .. 'keys', more[2], -1) <= 0 then call('HDEL', Q .. 'keys', more[2]) end
      free(more[2])
    end
    if more[3] then call('ZREM', Q .. 'expiry', id) end
    tag = more[4] or id
  end
  one(unacked, tag)
  one(index, tag)
  one(running, id)
  two(over, at, id)
  if result then
    local place = metas .. id
    if seconds > 0 then call('SETEX', place, kept_for, result) else call('SET', place, result) end
    call('PUBLISH', place, result)
  end
  ring_if_limited(queue)
  took(queue, 'run', item[9], 1)
  succeeded[queue] = (succeeded[queue] or 0) + 1
  return 'succeeded'
end

local function attempted(job, event, state, at, started_at, failure)
  call('RPUSH', Q .. 'attempts:' .. job.id, '{"attempt":' .. string.format('%.0f', job.a) .. ',"worker":'
    .. cjson.encode(job.w or '') .. ',"started_at":' .. text(started_at) .. ',"finished_at":' .. text(at)
    .. ',"event":' .. cjson.encode(event) .. ',"state":"' .. state .. '","error":' .. (failure or 'null') .. '}')
end

-- Where the end of its run leaves a job.
local function arrive(job, state, at, due, message)
  moved(job, state)
  if FINAL[state] then
    call('HSET', J .. job.id, 's', state, 'fa', at)
    call('HDEL', J .. job.id, 'st', 'da')
    ended(job, at)
    return
  end
  if message then
    call('SET', M .. job.id, message)
    -- Its delivery tag is its id.
    call('HDEL', J .. job.id, 'dt')
  end
  if job.xa then call('ZADD', Q .. 'expiry', job.xa, job.id) end
  if state == 'ready' then
    job.ra = tonumber(at)
    call('HSET', J .. job.id, 's', 'ready', 'ra', at)
    stand(job, job.ra)
  else
    call('HSET', J .. job.id, 's', state, 'da', text(due))
    call('ZADD', Q .. 'delayed', text(due), job.id)
    -- A worker asleep until the next due job may have to rise earlier.
    ring('ready')
  end
end

-- Celery has published the job again: its message is met in a list, some time, and its record goes on with it.
local function depart(job, state, at, due)
  moved(job, state)
  call('HSET', J .. job.id, 's', state, 'tm', '1', 'x', '1')
  if state == 'ready' then
    call('HSET', J .. job.id, 'ra', at)
  elseif due then
    call('HSET', J .. job.id, 'da', text(due))
  end
  if job.xa then call('ZADD', Q .. 'expiry', job.xa, job.id) end
end

local function conclude(item)
  local id, meta = item[1], counted_off(item[6] and 1 or 0)[1]
  local output, job = counted_off(item[13]), load(id)
  if not job or job.tok ~= item[2] then return false end
  local event, at, started_at, state, due = item[3], item[4], item[5], item[8], item[9]
  local reason, failure = item[10], item[11]
  local snoozed = event == 'snooze' and not item[15]
  if job.st and not FINAL[state] then
    -- It was asked to stop: it does not run again.
    state, meta, reason = 'cancelled', revoked(id, 'terminated'), false
  end
  if item[15] then call('HSET', J .. id, 'fo', job.tok) end
  stopped(job)
  local departed = item[15] or job.ahead
  -- What was published of one that is cancelled is dropped when it is met.
  if departed and state == 'cancelled' then call('HSET', J .. id, 'tm', '1', 'x', '1') end
  call('HSET', J .. id, 'tok', '', 'sa', text(started_at))
  call('HDEL', J .. id, 'pr', 'why')
  if snoozed then
    -- With the attempt goes its output: the next one bears its number.
    drop_output(id, job.a)
    local attempt = string.format('%.0f', job.a - 1)
    call('HSET', J .. id, 'a', attempt)
    if job.o and tonumber(job.o) == job.a then call('HSET', J .. id, 'o', attempt) end
    if state == 'scheduled' then call('HDEL', J .. id, 'ra') end
  else
    if #output > 0 then keep_output(id, job.a, output) end
    took(job.q, 'run', at - started_at, 1)
    if event ~= 'cancel' then
      if failure then call('HSET', J .. id, 'e', failure, 'x', '1') elseif job.e then call('HDEL', J .. id, 'e') end
    end
    if event == 'error' then call('HSET', J .. id, 'f', string.format('%.0f', job.f + 1)) end
    if item[12] then call('HSET', J .. id, 'cr', string.format('%.0f', job.cr + 1)) end
    if event == 'error' or event == 'lease lost' then attempted(job, event, state, at, started_at, failure) end
    if reason then call('HSET', J .. id, 'why', reason) end
    if item[7] then call('HSET', J .. id, 'r', item[7]) end
  end
  if departed and not FINAL[state] then
    depart(job, state, text(at), due)
  else
    arrive(job, state, text(at), due, item[14])
  end
  if meta then tell(id, state, meta) end
  if job.ck then free(job.ck) end
  return state
end

for i, item in ipairs(items) do
  if item[3] then
    states[i] = conclude(item)
    if states[i] ~= item[8] then plain = false end
  else
    states[i] = succeed(item)
    if not states[i] then plain = false end
  end
  if states[i] then ring('finished') end
end
for queue, by in pairs(succeeded) do
  count(queue, 'running', 'succeeded', by)
  roll(queue, 'succeeded', by)
end
finish()
return plain and {} or states
