-- Adds up spans of the history. ARGV: prefix of spans of one width ('…:60:'), the width, where the first begins, where
-- the last has begun before, how wide the sums are to be (0: one of all).
-- Returns for each sum where it begins, and its fields and numbers.
local prefix, width, first, last, into = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local found, sums, start = {}, nil, nil
local function close()
  if not sums then return end
  local fields = {}
  for field, by in pairs(sums) do
    fields[#fields + 1] = field
    fields[#fields + 1] = string.format('%.0f', by)
  end
  found[#found + 1] = start
  found[#found + 1] = fields
  sums = nil
end
for at = first, last - 1, width do
  local whose = into == 0 and first or at - at % into
  if whose ~= start then
    close()
    start = whose
  end
  local span = redis.call('HGETALL', prefix .. string.format('%.0f', at))
  if #span > 0 then
    sums = sums or {}
    for i = 1, #span, 2 do sums[span[i]] = (sums[span[i]] or 0) + tonumber(span[i + 1]) end
  end
end
close()
return found
