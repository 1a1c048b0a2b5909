-- with common
-- What is said of limits: {which, what is said (JSON; false to take back what an operator said), declared rates
-- {which, rate or false}…}. Returns whether anything was taken back.
local which, said, declared = A[4], A[5], A[6]
local function known(name)
  local found = call('HGET', Q .. 'limits', name)
  return found and cjson.decode(found) or {}
end
local function put(name, limit)
  if limit.explicit or limit.declared then
    call('HSET', Q .. 'limits', name, cjson.encode(limit))
  else
    call('HDEL', Q .. 'limits', name)
    call('HDEL', Q .. 'rates', name)
  end
end
local changed = 0
if which then
  local limit = known(which)
  if said then
    local fresh = cjson.decode(said)
    fresh.declared = limit.declared
    put(which, fresh)
    changed = 1
  elseif limit.explicit then
    put(which, {declared = limit.declared})
    changed = 1
  end
end
for _, each in ipairs(declared) do
  local limit = known(each[1])
  local rate = each[2] or nil
  if limit.declared ~= rate then
    limit.declared = rate
    put(each[1], limit)
    changed = 1
  end
end
if changed == 1 then ring('ready') end
finish()
return changed
