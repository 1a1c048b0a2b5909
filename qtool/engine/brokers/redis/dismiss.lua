-- with common strangers
-- A person's verb on messages without a record: {verb, {list, queue, step, near its head}…}, and the
-- messages after them For cancel they get
-- a record, which says that they are cancelled, and Celery's clients are told. Returns for each whether it was still
-- there, and its state after (false: gone).
local verb = A[4]
local answer = {}
for i, item in ipairs(A[5]) do
  local list, queue, step, head = unpack(item)
  local raw = ARGV[3 + i]
  local there = call('LREM', list, head and 1 or -1, raw) > 0
  local after = false
  if there and verb ~= 'delete' then
    local said = read(raw)
    local job = said and (admit(queue, step, said, raw) or load(said.id))
    if job then
      if not FINAL[job.s] then
        -- It stands nowhere any more.
        if job.s ~= 'ready' then call('ZREM', Q .. 'delayed', job.id) end
        moved(job, 'cancelled')
        call('HSET', J .. job.id, 's', 'cancelled', 'fa', now_text)
        call('HDEL', J .. job.id, 'da')
        ended(job, now)
        tell(job.id, 'cancelled', revoked(job.id, 'revoked'))
      end
      after = job.s
    else
      -- Nobody can read it, so nobody can say that it was cancelled: it stays where it was.
      call(head and 'LPUSH' or 'RPUSH', list, raw)
      after = 'ready'
    end
  end
  answer[i] = {there and 1 or 0, after}
end
finish()
return answer
