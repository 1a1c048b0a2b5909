-- with common
-- What a trip between two stores leaves here: {verb, the other store, number, url, ids}. Returns the trip's number; -1
-- where a later one has begun.
local verb, peer, number, url, ids = unpack(A, 4, 8)
local way = verb == 'clear' and 'i:' or 'o:'
local last = tonumber(match(call('HGET', Q .. 'trips', way .. peer) or '', '^%d+'))
if verb == 'begin' then
  if last and number <= last then number = last + 1 end
  call('HSET', Q .. 'trips', way .. peer, string.format('%.0f %s', number, url))
  return number
end
if last ~= number then return -1 end
if verb == 'drop' then
  for _, id in ipairs(ids) do
    call('HDEL', Q .. 'departures:' .. peer, id)
    if call('HGET', Q .. 'departures', id) == peer then call('HDEL', Q .. 'departures', id) end
  end
else
  call('UNLINK', Q .. 'arrivals:' .. peer)
end
return number
