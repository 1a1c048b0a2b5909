-- with common
-- What a worker runs. Its heartbeat has to be `beat` still, unless that is false. Returns false if it is not; else, of
-- each job {id, task, queue, attempt, failures, crashes, key, ready since, token, started at} (MessagePack), and then
-- their messages.
local worker, beat = A[4], A[5]
if beat and (call('HGET', Q .. 'worker:' .. worker, 'beat') or '') ~= beat then return false end
local found, answer = {}, {false}
for _, id in ipairs(call('ZRANGE', Q .. 'in:running', 0, -1)) do
  if call('HGET', J .. id, 'w') == worker then
    local job = load(id)
    found[#found + 1] = {id, job.t, job.q, job.a, job.f, job.cr, job.k, job.ra or now, job.tok or '',
      tonumber(job.sa) or now}
    answer[#answer + 1] = call('GET', M .. id) or ''
  end
end
answer[1] = cmsgpack.pack(found)
return answer
