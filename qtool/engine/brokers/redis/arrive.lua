-- with common keeping
-- Jobs come from another store (`i:`), or back from the way to it (`o:`): {way, store, trip, url, jobs}; a job is {id,
-- queue, state, priority, fields, message, ready since, due, deadline, ended at, unique key that it holds, attempts,
-- {attempt, pieces of output}, Celery's result}; false for None. Returns for each '' or why it stays outside; -1 where
-- a later trip has begun.
local way, peer, number, url, jobs = unpack(A, 4, 8)
local departures, arrivals = Q .. 'departures:' .. peer, Q .. 'arrivals:' .. peer
local last = tonumber(match(call('HGET', Q .. 'trips', way .. peer) or '', '^%d+'))
if way == 'o:' and last ~= number then return -1 end
if way == 'i:' then
  if last and number < last then return -1 end
  call('HSET', Q .. 'trips', way .. peer, string.format('%.0f %s', number, url))
end

local function wait(id, queue, state, priority, k, ready_at, due)
  if state == 'ready' then
    stand({id = id, q = queue, p = priority, k = k}, tonumber(ready_at))
  else
    call('ZADD', Q .. 'delayed', due, id)
    -- A worker asleep until the next due job may have to rise earlier.
    ring('ready')
  end
end

local function take_in(job, outputs)
  local id, queue, state, priority, fields, message, ready_at, due, expires, finished, unique = unpack(job, 1, 11)
  if call('EXISTS', J .. id, M .. id) > 0 then return 'there' end
  if call('HEXISTS', Q .. 'departures', id) == 1 then return 'underway' end
  if unique then
    local holder = call('GET', Q .. 'unique:' .. unique)
    if holder then return 'held ' .. holder end
    call('SET', Q .. 'unique:' .. unique, id)
  end
  if (state == 'scheduled' or state == 'retry') and not ours_to_keep(queue) then
    state, ready_at = 'ready', now_text
  end
  local k = call('INCR', Q .. 'seq')
  local key = string.format('%.0f', k)
  call('HSET', J .. id, 'k', key, unpack(fields))
  call('HSET', J .. id, 's', state, 'x', '1')
  if state == 'ready' then call('HSET', J .. id, 'ra', ready_at) end
  call('SET', M .. id, message)
  call('ZADD', Q .. 'jobs', key, id)
  if INDEXED[state] then call('ZADD', Q .. 'in:' .. state, key, id) end
  call('SADD', Q .. 'queues', queue)
  count(queue, nil, state)
  for _, attempt in ipairs(job[12]) do call('RPUSH', Q .. 'attempts:' .. id, attempt) end
  for _, output in ipairs(outputs) do keep_output(id, output[1], output[2]) end
  if job[14] then
    local seconds = keep[state] or 0
    if seconds > 0 then call('SETEX', metas .. id, seconds, job[14]) else call('SET', metas .. id, job[14]) end
  end
  if FINAL[state] then
    call('ZADD', Q .. 'ended:' .. state, finished, id)
    ring('finished')
  else
    roll(queue, 'enqueued', 1)
    if expires then call('ZADD', Q .. 'expiry', expires, id) end
    wait(id, queue, state, priority, k, ready_at, due)
  end
  return ''
end

local function come(job, outputs)
  if call('HEXISTS', arrivals, job[1]) == 1 then return '' end
  local why = take_in(job, outputs)
  if why == '' then call('HSET', arrivals, job[1], string.format('%.0f', number)) end
  return why
end

local function come_back(job, outputs)
  local id = job[1]
  local all = call('HGET', departures, id)
  if not all then return '' end
  -- Out of the departures first: an id is in one place only.
  call('HDEL', departures, id)
  call('HDEL', Q .. 'departures', id)
  local why = take_in(job, outputs)
  if why ~= '' then
    call('HSET', departures, id, all)
    call('HSET', Q .. 'departures', id, peer)
  end
  return why
end

local whys = {}
for i, job in ipairs(jobs) do
  local outputs = {}
  for n, said in ipairs(job[13]) do outputs[n] = {said[1], counted_off(said[2])} end
  whys[i] = (way == 'i:' and come or come_back)(job, outputs)
end
finish()
return whys
