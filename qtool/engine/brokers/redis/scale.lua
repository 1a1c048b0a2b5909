-- with common
-- Slots asked of a worker that has introduced itself: {worker, '<least> <most>'}. Returns whether there is such a one.
local key = Q .. 'worker:' .. A[4]
if call('HEXISTS', key, 'info') == 0 then return 0 end
call('HSET', key, 'slots', A[5])
ring('control')
finish()
return 1
