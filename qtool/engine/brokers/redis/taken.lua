-- with common
-- Ready jobs that have a result of Celery's, in a stretch of the records: {from which key on, without it, how many}.
-- Returns the last key (false at the end), and ids and results.
local stretch = call('ZRANGEBYSCORE', Q .. 'jobs', '(' .. A[4], '+inf', 'WITHSCORES', 'LIMIT', 0, A[5])
local found, last = {}, false
for i = 1, #stretch, 2 do
  last = stretch[i + 1]
  if call('HGET', J .. stretch[i], 's') == 'ready' then
    local meta = call('GET', metas .. stretch[i])
    if meta then
      found[#found + 1] = stretch[i]
      found[#found + 1] = meta
    end
  end
end
if #stretch < 2 * A[5] then last = false end
return {last, found}
