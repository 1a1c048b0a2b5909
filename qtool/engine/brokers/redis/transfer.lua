-- with common unchanged
-- Jobs go into another queue: {queue, {id, as it was seen, its message from then on}}. Returns for each whether it went.
local into, jobs = A[4], A[5]
local function go(id, seen, message)
  if not unchanged(id, seen) then return 0 end
  local job = load(id)
  local ready = job.s == 'ready'
  if ready and not take_away(job) then return 0 end
  count(job.q, job.s, nil)
  job.q = into
  count(into, nil, job.s)
  call('HSET', J .. id, 'q', into)
  call('SET', M .. id, message)
  call('SADD', Q .. 'queues', into)
  if ready then
    stand(job, job.ra or now)
    if job.ck then free(job.ck) end
  end
  return 1
end
local gone = {}
for i, job in ipairs(jobs) do gone[i] = go(job[1], job[2], job[3]) end
finish()
return gone
