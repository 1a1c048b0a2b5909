-- with common
-- What stands as a worker's beyond the claims {id, token} that it holds, and those under the tokens of which it has yet
-- to learn what they gave, goes back as not started: {worker, claims, tokens}.
-- Returns how many.
local worker, claims, tokens = A[4], A[5], A[6]
local held, underway, given = {}, {}, 0
for _, claim in ipairs(claims) do held[claim[1]] = claim[2] end
for _, token in ipairs(tokens) do underway[token] = true end
for _, id in ipairs(call('ZRANGE', Q .. 'in:running', 0, -1)) do
  local job = load(id)
  if job and job.w == worker and held[id] ~= job.tok and not underway[job.tok] then
    give_back(job)
    given = given + 1
  end
end
finish()
return given
