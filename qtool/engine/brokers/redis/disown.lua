-- with common
-- What stands as a worker's beyond the claims {id, token} that it holds goes back as not started: {worker, claims}.
-- Returns how many.
local worker, claims = A[4], A[5]
local held, given = {}, 0
for _, claim in ipairs(claims) do held[claim[1]] = claim[2] end
for _, id in ipairs(call('ZRANGE', Q .. 'in:running', 0, -1)) do
  local job = load(id)
  if job and job.w == worker and held[id] ~= job.tok then
    give_back(job)
    given = given + 1
  end
end
finish()
return given
