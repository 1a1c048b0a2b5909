-- Messages that qtool did not publish, or that another consumer has put back.

-- Days since the epoch of a civil date (Howard Hinnant's algorithm).
local function days(y, m, d)
  if m <= 2 then y = y - 1 end
  local era = floor(y / 400)
  local yoe = y - era * 400
  local doy = floor((153 * (m + (m > 2 and -3 or 9)) + 2) / 5) + d - 1
  return era * 146097 + yoe * 365 + floor(yoe / 4) - floor(yoe / 100) + doy - 719468
end

-- Seconds since the epoch in ISO 8601; without an offset it is UTC, as by Celery's default (WIRE.md section 1).
local function seconds(said)
  if type(said) ~= 'string' then return nil end
  local y, mo, d, h, mi, s, rest = match(said, '^(%d%d%d%d)-(%d%d)-(%d%d)[T ](%d%d):(%d%d):?([%d%.]*)(.*)$')
  if not y then return nil end
  local sign, oh, om = match(rest, '^([+-])(%d%d):?(%d*)')
  local offset = 0
  if sign then offset = (tonumber(oh) * 3600 + (tonumber(om) or 0) * 60) * (sign == '-' and -1 or 1) end
  return days(tonumber(y), tonumber(mo), tonumber(d)) * 86400 + tonumber(h) * 3600 + tonumber(mi) * 60
    + (tonumber(s) or 0) - offset
end

local function is_utf8(raw)
  if not raw:find('[\128-\255]') then return true end
  local rest = raw:gsub('[%z\1-\127]', ''):gsub('[\240-\244][\128-\191][\128-\191][\128-\191]', '')
  rest = rest:gsub('[\224-\239][\128-\191][\128-\191]', ''):gsub('[\194-\223][\128-\191]', '')
  return rest == ''
end

local function is_text(value) return type(value) == 'string' and value ~= '' end

local DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
-- Characters of a wrapped body that are unwrapped here: some milliseconds of the server.
local UNWRAPPED = 65536

local function from_base64(body)
  local bytes, bits, n = {}, 0, 0
  for digit in body:gmatch('[%w+/]') do
    bits, n = bits * 64 + DIGITS:find(digit, 1, true) - 1, n + 6
    if n >= 8 then
      n = n - 8
      bytes[#bytes + 1] = string.char(floor(bits / 2 ^ n))
      bits = bits % 2 ^ n
    end
  end
  return table.concat(bytes)
end

-- What a message of version 1 says in its body, in the words of version 2's headers (WIRE.md section 1); nil for others.
local function first_version(message, properties)
  local body = message.body
  if message['content-type'] ~= 'application/json' or not is_text(body) then return nil end
  if properties.body_encoding == 'base64' then
    if #body > UNWRAPPED then return nil end
    body = from_base64(body)
  end
  if not match(body, '^%s*{') or not is_utf8(body) then return nil end
  local sound, said = pcall(cjson.decode, body)
  if not sound then return nil end
  said.group = is_text(said.group) and said.group or said.taskset
  return said
end

-- The message's id, task, delivery tag and what else a record needs; nil for what nobody can read.
local function read(raw)
  if not is_utf8(raw) then return nil end
  local sound, message = pcall(cjson.decode, raw)
  if not sound or type(message) ~= 'table' then return nil end
  local headers, properties = message.headers, message.properties
  if type(properties) ~= 'table' then return nil end
  if type(headers) ~= 'table' then headers = {} end
  if headers.id == nil and headers.task == nil and headers.compression == nil then
    headers = first_version(message, properties)
    if not headers then return nil end
  end
  if not is_text(headers.id) or not is_text(headers.task) or not is_text(properties.delivery_tag) then return nil end
  local info = type(properties.delivery_info) == 'table' and properties.delivery_info or {}
  return {
    id = headers.id, task = headers.task, tag = properties.delivery_tag,
    exchange = is_text(info.exchange) and info.exchange or '',
    route = is_text(info.routing_key) and info.routing_key or '',
    eta = seconds(headers.eta), expires = seconds(headers.expires),
    created = tonumber(headers['qtool.created']),
    priority = type(properties.priority) == 'number' and properties.priority,
    key = is_text(headers['qtool.key']) and headers['qtool.key'],
    key_limit = tonumber(headers['qtool.key_limit']),
    retries = tonumber(headers.retries) or 0,
    group = is_text(headers.group),
  }
end

local function park(queue, raw)
  call('LPUSH', Q .. 'parked:' .. queue, raw)
  call('SADD', Q .. 'queues', queue)
end

local function priority_of(said, step)
  return 9 - math.min(9, math.max(0, floor(said.priority or (step - 1) * 3)))
end

-- A ready job in no list, whose message may be too early (then it waits as `waiting`) or too late; nil for those.
local function in_time(job, said, waiting)
  if said.expires then
    call('HSET', J .. job.id, 'xa', text(said.expires))
    call('ZADD', Q .. 'expiry', text(said.expires), job.id)
    job.xa = said.expires
  end
  if said.expires and said.expires <= now then
    moved(job, 'expired')
    call('HSET', J .. job.id, 's', 'expired', 'fa', now_text)
    ended(job, now)
    tell(job.id, 'expired', revoked(job.id, 'expired'))
    return nil
  end
  if said.eta and said.eta > now then
    moved(job, waiting)
    call('HSET', J .. job.id, 's', waiting, 'da', text(said.eta))
    call('ZADD', Q .. 'delayed', text(said.eta), job.id)
    ring('ready')
    return nil
  end
  return job
end

-- A record for a message taken from the list of a step (1 to 4) of a queue; the job's state is `ready`, in no list.
local function admit(queue, step, said, raw)
  local k = call('INCR', Q .. 'seq')
  local number = string.format('%.0f', k)
  call('UNLINK', J .. said.id, Q .. 'attempts:' .. said.id)
  call('SET', M .. said.id, raw)
  call('HSET', J .. said.id, 's', 'ready', 'k', number, 'q', queue, 't', said.task, 'p', priority_of(said, step),
    'ra', now_text, 'c', said.created and text(said.created) or now_text, 'dt', said.tag, 'x', '1',
    'f', string.format('%.0f', said.retries))
  if said.exchange ~= '' then call('HSET', J .. said.id, 'ex', said.exchange, 'rk', said.route) end
  if said.group then call('HSET', J .. said.id, 'g', '1') end
  if said.key then call('HSET', J .. said.id, 'ck', said.key, 'cl', said.key_limit or 1) end
  call('ZADD', Q .. 'jobs', number, said.id)
  call('SADD', Q .. 'queues', queue)
  count(queue, nil, 'ready')
  roll(queue, 'enqueued', 1)
  return in_time(load(said.id), said, 'scheduled')
end

-- The next message of a job that Celery has published again under its id (its own retry, a replacement): the record
-- goes on, perhaps as another task in another queue.
local function go_on(job, queue, step, said, raw)
  local waiting = job.s == 'retry' and 'retry' or 'scheduled'
  if not job.tm then take_away(job) end
  if job.xa then call('ZREM', Q .. 'expiry', job.id) end
  moved(job, nil)
  call('HDEL', J .. job.id, 'tm', 'ex', 'rk', 'da', 'xa', 'g')
  call('SET', M .. job.id, raw)
  call('HSET', J .. job.id, 's', 'ready', 'q', queue, 't', said.task, 'p', priority_of(said, step), 'ra', now_text,
    'dt', said.tag, 'x', '1', 'f', string.format('%.0f', said.retries))
  if said.exchange ~= '' then call('HSET', J .. job.id, 'ex', said.exchange, 'rk', said.route) end
  if said.group then call('HSET', J .. job.id, 'g', '1') end
  call('SADD', Q .. 'queues', queue)
  count(queue, nil, 'ready')
  -- That it is retried has been counted.
  if waiting == 'retry' and said.eta and said.eta > now then roll(queue, 'retried', -1) end
  return in_time(load(job.id), said, waiting)
end

-- Forget a finished run of the same id: a new message was published under it.
local function succeed_by(job)
  moved(job, nil)
  call('ZREM', Q .. 'jobs', job.id)
  call('UNLINK', J .. job.id, M .. job.id)
end
