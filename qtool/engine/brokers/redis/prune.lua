-- with common forget
-- Forgets a piece of what ended in a state before a time: {state, before}. Returns how many.
local ids = call('ZRANGEBYSCORE', Q .. 'ended:' .. A[4], '-inf', '(' .. text(A[5]), 'LIMIT', 0, AT_ONCE)
for _, id in ipairs(ids) do
  local job = load(id)
  if job then forget(job) else call('ZREM', Q .. 'ended:' .. A[4], id) end
end
finish()
return #ids
