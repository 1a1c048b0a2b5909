-- Reads a stretch of a list and leaves out the messages of jobs that have a record. KEYS: the list.
-- ARGV: how far from its tail the stretch begins, how many messages, which way ('old' first or 'new' first),
-- how many bytes at most (it stops after the message that exceeds them), prefix of records.
-- Returns how many messages were gone over, and those left with how far from the tail each is.
-- Messages are read a few at a time: one can have megabytes.
local from, count, oldest, budget, records = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'old', tonumber(ARGV[4]), ARGV[5]
local found, seen, bytes, step = {}, 0, 0, 4
while seen < count and bytes < budget do
  local near, far
  local n = math.min(step, count - seen)
  if oldest then
    near = from + seen
    far = near + n - 1
  else
    far = from - seen
    near = math.max(0, far - n + 1)
  end
  if far < 0 then break end
  local items = redis.call('LRANGE', KEYS[1], -1 - far, -1 - near)
  -- The list may have become shorter: what is missing lies at its head.
  local got = #items
  for i = 1, got do
    local item = items[oldest and got + 1 - i or i]
    local at = oldest and near + i - 1 or near + got - i
    bytes = bytes + #item
    local id = item:match('^{"properties":{"delivery_tag":"([^"\\]+)"')
    if not (id and redis.call('EXISTS', records .. id) == 1) then
      found[#found + 1] = at
      found[#found + 1] = item
    end
  end
  if oldest then
    seen = seen + got
    if got < n then break end
  else
    seen = seen + (far - near + 1)
  end
  if bytes < budget / 8 then step = math.min(step * 2, 512) else step = math.max(1, math.floor(step / 4)) end
end
return {seen, found}
