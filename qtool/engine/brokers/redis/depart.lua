-- with common forget unchanged
-- Jobs leave for another store: {store, trip, {id, as it was seen, all of it as text}}. Returns for each whether it
-- left; -1 where a later trip has begun.
local peer, number, jobs = unpack(A, 4, 6)
if tonumber(match(call('HGET', Q .. 'trips', 'o:' .. peer) or '', '^%d+')) ~= number then return -1 end
local function leave(id, seen, all)
  if not unchanged(id, seen) or call('HEXISTS', Q .. 'departures', id) == 1 then return 0 end
  local job = load(id)
  local was_ready = job.s == 'ready'
  -- A worker of Celery's may have it: then it is in no list.
  if not FINAL[job.s] and not take_away(job) then return 0 end
  forget(job)
  call('HSET', Q .. 'departures:' .. peer, id, all)
  call('HSET', Q .. 'departures', id, peer)
  if was_ready and job.ck then free(job.ck) end
  ring('finished')
  return 1
end
local left = {}
for i, job in ipairs(jobs) do left[i] = leave(job[1], job[2], job[3]) end
finish()
return left
