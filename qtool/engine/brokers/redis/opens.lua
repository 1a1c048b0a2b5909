-- with common rates
-- In how many seconds a rate lets the next ready job of the queues through: {queues, tick, up}; false when none waits.
local wanted, tick, up = unpack(A, 4, 6)
local names = served(wanted)
local limits = load_limits(tick, up)
local holding = call('SMEMBERS', Q .. 'holding')
local best
for _, queue in ipairs(names) do
  if limits.room(queue) >= 1 then
    local wait
    for step = 1, 4 do
      if call('EXISTS', P .. queue .. SUFFIX[step]) == 1 then wait = 0 end
    end
    for _, limit in ipairs(wait and {} or holding) do
      if call('SISMEMBER', Q .. 'holding:' .. limit, queue) == 1
        and call('EXISTS', held_key(limit, queue)) == 1 then
        wait = math.min(wait or math.huge, limits.opens_in(limit))
      end
    end
    if wait then
      wait = math.max(wait, limits.opens_in('queue:' .. queue))
      if not best or wait < best then best = wait end
    end
  end
end
return best and text(best) or false
