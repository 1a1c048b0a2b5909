-- with common
-- Claims that were not started go back: those named as {id, token}, or those of a worker (with a token: that claim's
-- only). Then the worker is forgotten, if `forget`: {claims, worker, token, forget}; false for None.
local claims, worker, token, forget = unpack(A, 4, 7)
local given = 0
local function give(id, tok)
  local job = load(id)
  if job and job.s == 'running' and job.tok == tok then
    give_back(job)
    given = given + 1
  end
end
if claims then
  for _, claim in ipairs(claims) do give(claim[1], claim[2]) end
else
  for _, id in ipairs(call('ZRANGE', Q .. 'in:running', 0, -1)) do
    local held = call('HMGET', J .. id, 'w', 'tok')
    if held[1] == worker and (not token or held[2] == token) then give(id, held[2]) end
  end
end
if forget then
  call('SREM', Q .. 'workers', worker)
  call('UNLINK', Q .. 'worker:' .. worker)
end
finish()
return given
