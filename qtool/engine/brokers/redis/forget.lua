-- A job that is not running, and in no list, vanishes with its output and history.
local function forget(job)
  moved(job, nil)
  local id = job.id
  call('ZREM', Q .. 'jobs', id)
  call('UNLINK', J .. id, M .. id, Q .. 'attempts:' .. id, metas .. id)
  for attempt = 1, tonumber(job.o or 0) do drop_output(id, attempt) end
  if job.u and call('GET', Q .. 'unique:' .. job.u) == id then call('DEL', Q .. 'unique:' .. job.u) end
  if job.xa then call('ZREM', Q .. 'expiry', id) end
end
