-- with common
-- News of running jobs: {id, token, progress, message, pieces of output}; false for None. What is no longer held is dropped.
for _, news in ipairs(A[4]) do
  local id, output = news[1], counted_off(news[5])
  local held = call('HMGET', J .. id, 'tok', 'a')
  if held[1] == news[2] then
    if news[3] then call('HSET', J .. id, 'pr', text(news[3]), 'x', '1') end
    if news[4] then call('HSET', J .. id, 'ms', news[4], 'x', '1') end
    if #output > 0 then keep_output(id, tonumber(held[2]), output) end
    ring('finished')
  end
end
finish()
return false
