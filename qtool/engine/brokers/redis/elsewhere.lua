-- with common
-- Jobs that a worker of Celery's took and ended: {id, state, at, reason, error (JSON)}…; false for None.
-- Returns how many were pending until now.
local settled = 0
for _, item in ipairs(A[4]) do
  local job = load(item[1])
  if job and (job.s == 'ready' or (job.s == 'retry' and job.tm)) and not job.h then
    local state, at = item[2], text(item[3])
    if state == 'succeeded' then call('SADD', Q .. 'answered', job.t) end
    moved(job, state)
    roll(job.q, 'started', 1)
    call('HSET', J .. job.id, 's', state, 'fa', at, 'a', string.format('%.0f', job.a + 1))
    call('HDEL', J .. job.id, 'e', 'why', 'gn')
    if item[4] then call('HSET', J .. job.id, 'why', item[4]) end
    if item[5] then call('HSET', J .. job.id, 'e', item[5]) end
    ended(job, at)
    if job.ck then free(job.ck) end
    settled = settled + 1
  end
end
finish()
return settled
