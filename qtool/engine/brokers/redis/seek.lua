-- Looks for messages by their ids, decoding none. KEYS: a list. ARGV: how far from its tail the stretch begins, how
-- many messages, 'whole' or 'prefix', then the ids wanted, or beginnings of them.
-- Returns how many messages there were, and those that fit with how far from the tail each is. What only looks like
-- an id may be among them: the reader decodes what it gets.
local from, count, whole = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == 'whole'
local wanted, only = {}, #ARGV == 4 and ARGV[4]
for i = 4, #ARGV do wanted[ARGV[i]] = true end

-- Plain searches only: a pattern takes ten times as long.
local function fits(item)
  if only and not item:find(only, 1, true) then return false end
  local _, at = item:find('"id": "', 1, true)
  if not at then _, at = item:find('"id":"', 1, true) end
  if not at then return false end
  local stop = item:find('"', at + 1, true)
  local id = item:sub(at + 1, (stop or #item + 1) - 1)
  if whole then return wanted[id] end
  for start in pairs(wanted) do
    if id:sub(1, #start) == start then return true end
  end
  return false
end

local found, seen, step = {}, 0, 16
while seen < count do
  local near = from + seen
  local n = math.min(step, count - seen)
  local items = redis.call('LRANGE', KEYS[1], -near - n, -1 - near)
  local bytes = 0
  for i = #items, 1, -1 do
    local item = items[i]
    bytes = bytes + #item
    if fits(item) then
      found[#found + 1] = near + #items - i
      found[#found + 1] = item
    end
  end
  seen = seen + #items
  if #items < n then break end
  if bytes < 1000000 then step = step * 4 else step = math.max(1, math.floor(step / 4)) end
end
return {seen, found}
