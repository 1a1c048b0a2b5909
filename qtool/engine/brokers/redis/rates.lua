-- What is said of queues and tasks, and the arithmetic of rates: that of qtool.engine.limits, to which tests hold it.
-- `tick` is the rates' clock, `up` how long this host has counted it.
local ROUNDING, BACK = 1e-3, 60

local function load_limits(tick, up)
  local found, flat = {any = false}, call('HGETALL', Q .. 'limits')
  for i = 1, #flat, 2 do
    local said = cjson.decode(flat[i + 1])
    local rate = said.declared
    if said.explicit then rate = said.rate end
    local limit = {concurrency = said.explicit and tonumber(said.concurrency) or nil}
    if tonumber(rate) then
      limit.rate = rate
      limit.burst = tonumber(said.explicit and said.burst) or math.max(1, math.ceil(rate / 10 - ROUNDING))
      local used, used_at = match(call('HGET', Q .. 'rates', flat[i]) or '0 0', '^(%S+) (%S+)$')
      used, used_at = tonumber(used), tonumber(used_at)
      -- A clock that shows much less than it did has begun anew.
      local passed = math.max(0, tick - used_at)
      if tick < used_at - BACK then passed = up end
      limit.used = math.max(0, math.min(used, limit.burst + ROUNDING) - passed * rate)
    end
    found[flat[i]] = limit
    found.any = true
  end

  -- How many may start now.
  function found.allows(which)
    local limit = found[which]
    if not limit or not limit.rate then return math.huge end
    return math.max(0, floor(limit.burst - limit.used + ROUNDING))
  end

  -- Seconds until the next may start; 0 when one may now.
  function found.opens_in(which)
    if found.allows(which) >= 1 then return 0 end
    local limit = found[which]
    return (limit.used + 1 - limit.burst) / limit.rate
  end

  function found.spend(which, starts)
    local limit = found[which]
    if limit and limit.rate and starts > 0 then
      limit.used = limit.used + starts
      limit.spent = true
    end
  end

  -- How many more jobs of a queue may run.
  function found.room(queue)
    local limit = found['queue:' .. queue]
    if not limit or not limit.concurrency then return math.huge end
    local c = counts[queue]
    return limit.concurrency - (tonumber(call('HGET', Q .. 'counts:' .. queue, 'running') or 0)
      + (c and c.running or 0))
  end

  function found.write()
    for which, limit in pairs(found) do
      if type(limit) == 'table' and limit.spent then
        call('HSET', Q .. 'rates', which, text(limit.used) .. ' ' .. text(tick))
      end
    end
  end

  return found
end

-- Those of `wanted` (of all, when empty) that are not paused, each once, in order.
local function served(wanted)
  local names, seen = {}, {}
  for _, queue in ipairs(call('SMEMBERS', Q .. 'paused')) do seen[queue] = true end
  if #wanted == 0 then
    wanted = call('SUNION', Q .. 'queues', Q .. 'bound')
    table.sort(wanted)
  end
  for _, queue in ipairs(wanted) do
    if not seen[queue] then
      seen[queue] = true
      names[#names + 1] = queue
    end
  end
  return names
end
