-- How queues stand. ARGV: the prefix of all keys, kombu's separator, then queues.
-- Returns for each: messages in its lists, messages parked, the counts of its records, and since when the next job of
-- each list could have been started (false where the message has no record).
local prefix, separator = ARGV[1], ARGV[2]
local own = prefix .. 'qtool:'
local found = {}
for i = 3, #ARGV do
  local queue = ARGV[i]
  local ready, since = 0, {}
  for _, step in ipairs({'', '3', '6', '9'}) do
    local list = prefix .. queue .. (step == '' and '' or separator .. step)
    local kind = redis.call('TYPE', list).ok
    local length = kind == 'list' and redis.call('LLEN', list) or 0
    if length > 0 then
      ready = ready + length
      local message = redis.call('LINDEX', list, -1)
      local id = message:match('^{"properties":{"delivery_tag":"([^"\\]+)"') or message:match('"id":%s*"([^"\\]+)"')
      since[#since + 1] = id and redis.call('HGET', own .. 'job:' .. id, 'ra') or false
    end
  end
  found[#found + 1] = {
    ready, redis.call('LLEN', own .. 'parked:' .. queue), redis.call('HGETALL', own .. 'counts:' .. queue), since,
  }
end
return found
