-- with common forget
-- An operator's verb on jobs: {verb, ids}, and for a retry their new messages ('' where it stays). Returns for each its state before (false: no such job), its state after
-- (false: gone), and a note.
local verb, ids = A[4], A[5]
local RUNNING = {cancel = 'cancel', kill = 'kill'}
local answer = {}
advance()

local function restart(job, message)
  if not FINAL[job.s] then return job.s, 'unfinished' end
  local holder = job.u and call('GET', Q .. 'unique:' .. job.u)
  if holder then return job.s, 'held ' .. holder end
  if job.u then call('SET', Q .. 'unique:' .. job.u, job.id) end
  if message and message ~= '' then
    call('SET', M .. job.id, message)
    -- Its delivery tag is its id.
    call('HDEL', J .. job.id, 'dt')
  end
  moved(job, 'ready')
  -- Its deadline is over or does not count any more: a person wants it run.
  call('HDEL', J .. job.id, 'xa', 'fa', 'why', 'e', 'r', 'ms', 'pr', 'st', 'da')
  call('HSET', J .. job.id, 's', 'ready', 'ra', now_text, 'f', 0, 'cr', 0)
  call('UNLINK', metas .. job.id)
  stand(job, now)
  return 'ready', ''
end

local function stop(job)
  if FINAL[job.s] then return job.s, 'finished' end
  if job.s == 'running' and verb == 'revoke' then return 'running', 'running' end
  if job.s == 'running' then
    local asked = verb
    if verb == 'cancel' and job.st == 'kill' then asked = 'kill' end
    call('HSET', J .. job.id, 'st', asked, 'x', '1')
    ring('control')
    return 'running', RUNNING[verb]
  end
  end_pending(job, 'cancelled', 'revoked')
  return 'cancelled', ''
end

local function delete(job)
  if job.s == 'running' then return 'running', 'running' end
  local was_ready = job.s == 'ready'
  if not FINAL[job.s] then take_away(job) end
  forget(job)
  ring('finished')
  if was_ready and job.ck then free(job.ck) end
  return false, ''
end

local act = ({retry = restart, cancel = stop, kill = stop, revoke = stop, delete = delete})[verb]
for i, id in ipairs(ids) do
  local job = load(id)
  if not job then
    answer[i] = {false, false, ''}
  else
    local before = job.s
    local after, note = act(job, ARGV[3 + i])
    answer[i] = {before, after, note}
  end
end
finish()
return answer
