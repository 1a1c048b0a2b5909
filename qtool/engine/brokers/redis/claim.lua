-- with common rates strangers
-- Starts up to `count` jobs: {worker, queues, count, lease, token, turn, tick, up}.
-- Returns whether it stopped before it had looked at everything; of each job {id, task, queue, attempt, failures,
-- crashes, key, ready since} (MessagePack); then their messages.
local worker, wanted, most, lease, token, turn, tick, up = unpack(A, 4, 11)
local _, _, more = advance()
if more then
  -- Something overdue may still stand ready.
  finish()
  return {1, cmsgpack.pack({})}
end
local limits = load_limits(tick, up)
local stretch = AT_ONCE
local started, answer = {}, {false, false}
-- Whole seconds: to read a score with a fraction takes the server longer than to keep it.
local lease_end = string.format('%.0f', math.ceil(now + lease))
local unacked, index = batch('HSET', P .. 'unacked'), batch('ZADD', P .. 'unacked_index')
local running = batch('ZADD', Q .. 'in:running')
local waits, number_started = {}, {}
local MORE = {'ck', 'cl', 'h', 'ms', 'dt', 'ex', 'rk', 'da'}
local routes = {}
local since, ready_at = false, now

-- What a claim asks of a record; most have no more than the first few.
local function look(id)
  local key = J .. id
  local values = call('HMGET', key, 's', 'k', 't', 'a', 'f', 'cr', 'ra', 'x')
  if values[8] then
    local more = call('HMGET', key, unpack(MORE))
    for n, field in ipairs(MORE) do values[field] = more[n] end
  end
  return values
end

local function start(id, queue, values, raw)
  local attempt = (tonumber(values[4]) or 0) + 1
  -- Those of one batch are ready since the same moment.
  if values[7] ~= since then since, ready_at = values[7], tonumber(values[7]) or now end
  call('HSET', J .. id, 's', 'running', 'tok', token, 'w', worker, 'sa', now_text, 'a', string.format('%d', attempt))
  if values.ms then call('HDEL', J .. id, 'ms') end
  local tag = values.dt or id
  local exchange, route = values.ex, values.rk
  if exchange then
    two(unacked, tag, '[' .. raw .. ',' .. cjson.encode(exchange) .. ',' .. cjson.encode(route or '') .. ']')
  else
    if not routes[queue] then routes[queue] = ',"",' .. cjson.encode(queue) .. ']' end
    two(unacked, tag, '[' .. raw .. routes[queue])
  end
  two(index, lease_end, tag)
  two(running, values[2], id)
  if values.ck then call('HINCRBY', Q .. 'keys', values.ck, 1) end
  local waited = waits[queue]
  if not waited then waited = {} waits[queue] = waited end
  waited[ready_at] = (waited[ready_at] or 0) + 1
  number_started[queue] = (number_started[queue] or 0) + 1
  if limits.any then
    -- At once, for the next to be looked at.
    count(queue, 'ready', 'running')
    limits.spend('queue:' .. queue, 1)
    limits.spend('task:' .. values[3], 1)
  end
  started[#started + 1] = {id, values[3], queue, attempt, tonumber(values[5]) or 0, tonumber(values[6]) or 0,
    tonumber(values[2]), ready_at}
  answer[#answer + 1] = raw
end

-- The limit that keeps a job of the queue from starting.
local function blocks(values)
  local key = values.ck
  if key and tonumber(call('HGET', Q .. 'keys', key) or 0) >= (tonumber(values.cl) or 1) then return 'key:' .. key end
  if limits.any and limits.allows('task:' .. values[3]) < 1 then return 'task:' .. values[3] end
end

-- Keep what was left to Celery's workers and is not due yet; whether it was so.
local function too_early(id, values)
  local due = tonumber(values.da or '')
  if not due or due <= now then return false end
  local job = load(id)
  moved(job, 'scheduled')
  call('HSET', J .. id, 's', 'scheduled')
  call('ZADD', Q .. 'delayed', text(due), id)
  ring('ready')
  return true
end

-- The record of what came out of a list; nothing for what is not to be started.
local function identify(raw, queue, step)
  local id = match(raw, OURS)
  local values = id and look(id)
  if values and values[2] then
    local free_to_go = values[1] == 'ready' and (not values.h or values.h == '')
    if free_to_go and not too_early(id, values) then return id, values end
    return nil
  end
  local said = read(raw)
  if not said then
    park(queue, raw)
    return nil
  end
  local job = load(said.id)
  if job then
    if (job.dt or job.id) == said.tag then
      -- Another consumer may have put it back, in words of its own.
      if job.s == 'ready' and not job.h and not job.tm then return said.id, look(said.id) end
      return nil
    end
    if job.s == 'running' and call('HSETNX', J .. said.id, 'nx', raw) == 1 then
      -- Celery's own retry is published before the attempt is settled.
      call('HSET', J .. said.id, 'nl', P .. queue .. SUFFIX[step], 'x', '1')
      return nil
    end
    if FINAL[job.s] and job.tm then
      call('HDEL', J .. said.id, 'tm')
      return nil
    end
    if job.tm or job.s == 'retry' or job.s == 'ready' then
      if not go_on(job, queue, step, said, raw) then return nil end
      return said.id, look(said.id)
    end
    if not FINAL[job.s] then
      park(queue, raw)
      return nil
    end
    succeed_by(job)
  end
  if not admit(queue, step, said, raw) then return nil end
  return said.id, look(said.id)
end

local function take(queue, step, room)
  local list = P .. queue .. SUFFIX[step]
  local taken, again = 0, false
  while room > taken and stretch > 0 do
    local items = call('RPOP', list, math.min(room - taken, stretch))
    if not items then break end
    for _, raw in ipairs(items) do
      local id, values = identify(raw, queue, step)
      local limit = id and blocks(values)
      if limit then
        local job = load(id)
        hold(job, limit)
        -- It makes way for the next of its key.
        if job.ck and limit:sub(1, 5) == 'task:' then
          free(job.ck)
          again = true
        end
        stretch = stretch - 1
      elseif id then
        start(id, queue, values, raw)
        taken = taken + 1
      else
        stretch = stretch - 1
      end
    end
  end
  return taken, again
end

local names = served(wanted)
if most > 0 and call('EXISTS', Q .. 'holding') == 1 then
  local here = {}
  for _, queue in ipairs(names) do here[queue] = true end
  for _, limit in ipairs(call('SMEMBERS', Q .. 'holding')) do
    local some = math.min(limits.allows(limit), most)
    for _, queue in ipairs(call('SMEMBERS', Q .. 'holding:' .. limit)) do
      local left = some
      while here[queue] and left > 0 and release(limit, queue) do left = left - 1 end
    end
    if call('EXISTS', Q .. 'holding:' .. limit) == 0 then call('SREM', Q .. 'holding', limit) end
  end
end
for n = 1, #names do
  local queue = names[(turn + n - 1) % #names + 1]
  local again = true
  while again and stretch > 0 do
    again = false
    for step = 1, 4 do
      local room = math.min(most - #started, limits.room(queue), limits.allows('queue:' .. queue))
      if room < 1 then break end
      local _, once_more = take(queue, step, room)
      again = again or once_more
    end
  end
  if #started >= most then break end
end
limits.write()
if #started > 0 then
  -- A claim is a sign of life as good as a heartbeat.
  call('SADD', Q .. 'workers', worker)
  call('HINCRBY', Q .. 'worker:' .. worker, 'beat', 1)
  call('HSET', Q .. 'worker:' .. worker, 'lease', text(lease))
end
for queue, by in pairs(number_started) do
  if not limits.any then count(queue, 'ready', 'running', by) end
  roll(queue, 'started', by)
  for ready_at, jobs in pairs(waits[queue]) do took(queue, 'wait', now - ready_at, jobs) end
end
finish()
if stretch <= 0 then answer[1] = 1 end
answer[2] = cmsgpack.pack(started)
return answer
