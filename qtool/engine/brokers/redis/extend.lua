-- with common
-- A worker's heartbeat: {worker, what it says of itself (JSON), lease, claims {id, token}}.
-- Returns the slots asked of it, and for each claim whether it holds: '' or what the job is asked, false when it is lost.
local worker, info, lease, claims = unpack(A, 4, 7)
local key = Q .. 'worker:' .. worker
call('SADD', Q .. 'workers', worker)
call('HINCRBY', key, 'beat', 1)
call('HSET', key, 'info', info, 'lease', text(lease))
local lease_end = text(now + lease)
local answer = {call('HGET', key, 'slots')}
for i, claim in ipairs(claims) do
  local held = call('HMGET', J .. claim[1], 'tok', 'st', 'dt')
  if held[1] == claim[2] then
    answer[i + 1] = held[2] or ''
    call('ZADD', P .. 'unacked_index', 'XX', lease_end, held[3] or claim[1])
  else
    answer[i + 1] = false
  end
end
return answer
