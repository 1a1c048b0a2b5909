-- with common
-- Claimed messages that cannot be read end as dead, their message kept: {id, token, what is wrong (JSON)}…
for _, item in ipairs(A[4]) do
  local job = load(item[1])
  if job and job.tok == item[2] then
    stopped(job)
    moved(job, 'dead')
    call('HSET', J .. job.id, 's', 'dead', 'tok', '', 'fa', now_text, 'why', 'undecodable', 'e', item[3])
    ended(job, now)
    if job.ck then free(job.ck) end
  end
end
finish()
return false
