-- with common keeping
-- New jobs: {id, queue, task, priority, created, due, expires, unique, key, key limit}; false for None. And whether
-- none has a unique key and all have ids of their own. Then their messages, in the same order.
-- Returns, for those that stood already, their places in the batch (from 0) and the ids of what stands.
local jobs, alone = A[4], A[5]
advance()
local k = call('INCRBY', Q .. 'seq', #jobs) - #jobs
local known, lists, ready_count, enqueued = {}, {}, {}, {}
local index = batch('ZADD', Q .. 'jobs')

-- Most batches are new, to the last job: a command for many is cheaper than one for each.
local kept = {}
if alone then
  for first = 1, #jobs, 1000 do
    local last, both = math.min(#jobs, first + 999), {}
    for i = first, last do both[#both + 1], both[#both + 2] = M .. jobs[i][1], ARGV[RAW + i - 1] end
    if call('MSETNX', unpack(both)) == 1 then
      for i = first, last do kept[i] = true end
    end
  end
end

for i, job in ipairs(jobs) do
  local message = ARGV[RAW + i - 1]
  local id, queue, unique, key = job[1], job[2], job[8], job[9]
  local holder = false
  if not kept[i] and not call('SET', M .. id, message, 'NX') then
    holder = id
  elseif unique then
    holder = call('GET', Q .. 'unique:' .. unique)
    if holder then call('DEL', M .. id) else call('SET', Q .. 'unique:' .. unique, id) end
  end
  if holder then
    known[#known + 1] = i - 1
    known[#known + 1] = holder
  else
    k = k + 1
    local due = job[6]
    local number = string.format('%d', k)
    if due and ours_to_keep(queue) then
      call('HSET', J .. id, 's', 'scheduled', 'k', number, 'q', queue, 't', job[3], 'p', job[4], 'c', job[5], 'da', due)
      call('ZADD', Q .. 'delayed', due, id)
      call('ZADD', Q .. 'in:scheduled', number, id)
      count(queue, nil, 'scheduled')
    else
      call('HSET', J .. id, 's', 'ready', 'k', number, 'q', queue, 't', job[3], 'p', job[4], 'c', job[5], 'ra', now_text)
      if due then call('HSET', J .. id, 'da', due, 'x', '1') end
      local list = list_of(queue, job[4])
      local waiting = lists[list]
      if not waiting then waiting = batch('LPUSH', list) lists[list] = waiting end
      one(waiting, message)
      ready_count[queue] = (ready_count[queue] or 0) + 1
    end
    if unique then call('HSET', J .. id, 'u', unique, 'x', '1') end
    if key then call('HSET', J .. id, 'ck', key, 'cl', job[10], 'x', '1') end
    if job[7] then
      call('HSET', J .. id, 'xa', job[7], 'x', '1')
      call('ZADD', Q .. 'expiry', job[7], id)
    end
    two(index, number, id)
    enqueued[queue] = (enqueued[queue] or 0) + 1
  end
end
for queue, by in pairs(ready_count) do count(queue, nil, 'ready', by) end
for queue, by in pairs(enqueued) do
  call('SADD', Q .. 'queues', queue)
  roll(queue, 'enqueued', by)
  -- Also for scheduled ones: a worker asleep until the next due job may have to rise earlier.
  ring('ready')
end
finish()
return known
