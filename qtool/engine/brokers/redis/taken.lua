-- with common
-- Ready jobs, and those that Celery's own code has published again, that have a result of Celery's, in a stretch of the records: {from which key on, without it, how many, how
-- many where a queue has fewer messages than records that say they are ready}.
-- Returns the last key (false at the end), and ids and results.
local from, most, hurry = A[4], A[5], A[6]
for _, queue in ipairs(call('SMEMBERS', Q .. 'queues')) do
  local said = call('HMGET', Q .. 'counts:' .. queue, 'ready', 'held')
  local ready = tonumber(said[1] or 0) - tonumber(said[2] or 0)
  if ready > 0 then
    for step = 1, 4 do ready = ready - call('LLEN', P .. queue .. SUFFIX[step]) end
    if ready > 0 then most = hurry end
  end
end
local stretch = call('ZRANGEBYSCORE', Q .. 'jobs', '(' .. from, '+inf', 'WITHSCORES', 'LIMIT', 0, most)
local found, last, bytes = {}, false, 0
for i = 1, #stretch, 2 do
  last = stretch[i + 1]
  local state, departed = unpack(call('HMGET', J .. stretch[i], 's', 'tm'))
  if state == 'ready' or (state == 'retry' and departed) then
    local meta = call('GET', metas .. stretch[i])
    if meta then
      found[#found + 1] = stretch[i]
      found[#found + 1] = meta
      bytes = bytes + #meta
      if bytes > 4000000 then return {last, found} end
    end
  end
end
return {#stretch == 2 * most and last, found}
