-- What the scripts that move jobs share. ARGV: their arguments (MessagePack: now, now in ISO 8601, spans of the history,
-- and their own), the prefix of all keys, what stays the same (MessagePack). Names of keys: layout.py.
local A, P, SAME = cmsgpack.unpack(ARGV[1]), ARGV[2], cmsgpack.unpack(ARGV[3])
local call, match, floor = redis.call, string.match, math.floor
local now, iso, spans = A[1], A[2], A[3]
local db, metas, keep, output_keep = SAME[1], SAME[2], SAME[3], SAME[4]
local Q = P .. 'qtool:'
local J, M = Q .. 'job:', Q .. 'message:'
local OURS = '^{"properties":{"delivery_tag":"([^"\\]+)"'
local SUFFIX = {'', '\6\0223', '\6\0226', '\6\0229'}
local AT_ONCE = 512
local NEAR = 64
local INDEXED = {running = true, scheduled = true, retry = true, dead = true, cancelled = true, expired = true}
local FINAL = {succeeded = true, dead = true, cancelled = true, expired = true}
local COUNTER = {succeeded = 'succeeded', dead = 'dead', cancelled = 'cancelled', expired = 'expired',
                 retry = 'retried', running = 'started'}

local function text(number) return string.format('%.17g', number) end
local now_text = text(now)

-- --- what is written once, at the end ---------------------------------------------------------------

local counts, rolled, rung, batches, spent = {}, {}, {}, {}, {wait = {}, run = {}}

local function count(queue, before, after, by)
  by = by or 1
  local c = counts[queue]
  if not c then c = {} counts[queue] = c end
  if before then c[before] = (c[before] or 0) - by end
  if after then c[after] = (c[after] or 0) + by end
end

local function roll(queue, what, by)
  local field = queue .. '\n' .. what
  rolled[field] = (rolled[field] or 0) + by
end

-- As qtool.engine.rollup.bucket_of.
local LOG2 = math.log(2)
local function took(queue, what, seconds, jobs)
  if seconds < 0 then seconds = 0 end
  local bucket = 0
  if seconds > 1e-6 then bucket = math.min(255, floor(4 * math.log(seconds / 1e-6) / LOG2)) end
  local buckets = spent[what][queue]
  if not buckets then
    buckets = {sum = 0}
    spent[what][queue] = buckets
  end
  buckets[bucket] = (buckets[bucket] or 0) + jobs
  buckets.sum = buckets.sum + floor(seconds * 1e6 + 0.5) * jobs
end

local function ring(topic) rung[topic] = true end

-- Values for one call of a command that takes many.
local function batch(command, key)
  local name = command .. ' ' .. key
  local b = batches[name]
  if not b then b = {command, key, n = 0} batches[name] = b end
  return b
end

local function one(b, x)
  b.n = b.n + 1
  b[b.n + 2] = x
end

local function two(b, x, y)
  b[b.n + 3], b[b.n + 4] = x, y
  b.n = b.n + 2
end

local function flush()
  for _, b in pairs(batches) do
    for i = 1, b.n, 4000 do call(b[1], b[2], unpack(b, i + 2, math.min(b.n, i + 3999) + 2)) end
  end
  batches = {}
end

local function finish()
  flush()
  for what, queues in pairs(spent) do
    for queue, buckets in pairs(queues) do
      for bucket, jobs in pairs(buckets) do roll(queue, bucket == 'sum' and what or what .. ':' .. bucket, jobs) end
    end
  end
  for queue, c in pairs(counts) do
    for state, by in pairs(c) do
      if by ~= 0 then call('HINCRBY', Q .. 'counts:' .. queue, state, by) end
    end
  end
  if next(rolled) then
    for _, span in ipairs(spans) do
      local key = Q .. 'rollup:' .. span[1] .. ':' .. string.format('%.0f', span[2])
      for field, by in pairs(rolled) do call('HINCRBY', key, field, string.format('%.0f', by)) end
      call('EXPIRE', key, span[3])
    end
  end
  for topic in pairs(rung) do call('PUBLISH', P .. 'qtool:/' .. db .. '.' .. topic, '') end
end

-- --- records ----------------------------------------------------------------------------------------

local FIELDS = {'s', 'k', 'q', 't', 'p', 'ra', 'da', 'xa', 'a', 'f', 'cr', 'tok', 'w', 'u', 'ck', 'cl', 'h', 'st', 'dt',
                'o', 'e', 'sa', 'g', 'tm'}

-- The record of a job; nil where there is none. Empty fields are absent ones.
local function load(id)
  local values = call('HMGET', J .. id, unpack(FIELDS))
  if not values[1] then return nil end
  local job = {id = id}
  for i, field in ipairs(FIELDS) do
    if values[i] and values[i] ~= '' then job[field] = values[i] end
  end
  for _, field in ipairs({'k', 'p', 'ra', 'da', 'xa', 'a', 'f', 'cr', 'cl'}) do
    if job[field] then job[field] = tonumber(job[field]) end
  end
  job.p, job.a, job.f, job.cr, job.cl = job.p or 0, job.a or 0, job.f or 0, job.cr or 0, job.cl or 1
  return job
end

local function list_of(queue, priority) return P .. queue .. SUFFIX[floor((9 - priority) / 3) + 1] end

-- A job went from one state to another: the indexes and the counters.
local function moved(job, after)
  local before = job.s
  if INDEXED[before] then call('ZREM', Q .. 'in:' .. before, job.id) end
  if FINAL[before] then call('ZREM', Q .. 'ended:' .. before, job.id) end
  if INDEXED[after] then call('ZADD', Q .. 'in:' .. after, job.k, job.id) end
  count(job.q, before, after)
  if COUNTER[after] then roll(job.q, COUNTER[after], 1) end
  job.s = after
end

-- --- lists ------------------------------------------------------------------------------------------

-- Whether a message goes before what is ready since `ra` with the key `k`; nil for a stranger's, whose age nobody knows.
local function older(message, ra, k)
  local id = match(message, OURS)
  local values = id and call('HMGET', J .. id, 'ra', 'k')
  if not (values and values[2]) then return nil end
  local its, key = tonumber(values[1]) or 0, tonumber(values[2])
  return its < ra or (its == ra and key < k)
end

local function from_left(list, message, ra, k)
  local items = call('LRANGE', list, 0, NEAR - 1)
  for i = 2, #items do
    if older(items[i], ra, k) ~= false then
      call('LPOP', list, i - 1)
      call('LPUSH', list, message)
      for n = i - 1, 1, -1 do call('LPUSH', list, items[n]) end
      return true
    end
  end
end

local function from_right(list, message, ra, k)
  local items = call('LRANGE', list, -NEAR, -1)
  for i = #items - 1, 1, -1 do
    if older(items[i], ra, k) == false or i == 1 then
      call('RPOP', list, #items - i)
      call('RPUSH', list, message)
      for n = i + 1, #items do call('RPUSH', list, items[n]) end
      return
    end
  end
end

-- Put a message where its age says, as far as that is near an end of its list: RPOP takes the oldest.
local function place(list, message, ra, k)
  local newest = call('LINDEX', list, 0)
  if not newest or older(newest, ra, k) ~= false then
    call('LPUSH', list, message)
  elseif older(call('LINDEX', list, -1), ra, k) == false then
    call('RPUSH', list, message)
  elseif not from_left(list, message, ra, k) then
    from_right(list, message, ra, k)
  end
end

-- The job stands ready in its list, since `ra`.
local function stand(job, ra)
  local message = call('GET', M .. job.id)
  if not message then return end
  place(list_of(job.q, job.p), message, ra, job.k)
  ring('ready')
end

-- --- limits -----------------------------------------------------------------------------------------

local function held_key(limit, queue) return Q .. 'held:' .. limit .. '\n' .. queue end

local function member(job) return string.format('%015.0f', job.k) .. job.id end

-- A ready job that is in no list waits for `limit` (`key:NAME`, `task:NAME`).
local function hold(job, limit)
  -- In the order of claiming; beyond the microseconds that the number holds, by key.
  call('ZADD', held_key(limit, job.q), text(floor((9 - job.p) / 3) * 1e10 + (job.ra or 0)), member(job))
  call('SADD', Q .. 'holding:' .. limit, job.q)
  if limit:sub(1, 5) == 'task:' then call('SADD', Q .. 'holding', limit) end
  call('HSET', J .. job.id, 'h', limit, 'x', '1')
  count(job.q, nil, 'held')
  job.h = limit
end

local function unhold(job)
  call('ZREM', held_key(job.h, job.q), member(job))
  call('HDEL', J .. job.id, 'h')
  count(job.q, 'held', nil)
  job.h = nil
end

-- Let the first that a limit holds in a queue go back to its list, if `may` says so; whether it did.
local function release(limit, queue, may)
  local key = held_key(limit, queue)
  local first = call('ZRANGE', key, 0, 0)[1]
  if not first then
    call('SREM', Q .. 'holding:' .. limit, queue)
    return false
  end
  local job = load(first:sub(16))
  if not job or job.h ~= limit then
    call('ZREM', key, first)
    return true
  end
  if may and not may(job) then return false end
  unhold(job)
  stand(job, job.ra or 0)
  return true
end

-- Slots of a key fell free, or one of its jobs made way: as many go on as may run, of each queue.
local function free(key)
  local limit = 'key:' .. key
  for _, queue in ipairs(call('SMEMBERS', Q .. 'holding:' .. limit)) do
    local running = tonumber(call('HGET', Q .. 'keys', key) or 0)
    while release(limit, queue, function(job) return running < job.cl end) do running = running + 1 end
  end
end

local limited = {}
-- Whether somebody waits for places in the queue.
local function ring_if_limited(queue)
  if limited[queue] == nil then limited[queue] = call('HEXISTS', Q .. 'limits', 'queue:' .. queue) == 1 end
  if limited[queue] then ring('ready') end
end

-- --- ends -------------------------------------------------------------------------------------------

local function revoked(id, why)
  return '{"status":"REVOKED","result":{"exc_type":"TaskRevokedError","exc_message":["' .. why
    .. '"],"exc_module":"celery.exceptions"},"traceback":null,"children":[],"date_done":"' .. iso .. '","task_id":'
    .. cjson.encode(id) .. '}'
end

-- For Celery's clients (WIRE.md section 4): kept and told; that a job is to be retried as long as that it failed.
local function tell(id, state, meta)
  local key, seconds = metas .. id, keep[state] or keep.dead or 0
  if seconds > 0 then call('SET', key, meta, 'EX', seconds) else call('SET', key, meta) end
  call('PUBLISH', key, meta)
end

-- A job is in a final state since `at`: what it held falls free.
local function ended(job, at)
  call('ZADD', Q .. 'ended:' .. job.s, at, job.id)
  if job.u and call('GET', Q .. 'unique:' .. job.u) == job.id then call('DEL', Q .. 'unique:' .. job.u) end
  if job.xa then call('ZREM', Q .. 'expiry', job.id) end
  -- A chord waits for it, and nobody has told it under this claim: upkeep does.
  if job.g and call('HGET', J .. job.id, 'fo') ~= job.tok then call('RPUSH', Q .. 'owed', job.id) end
  ring('finished')
end

-- Take a pending job out of wherever it waits; false where its message was not there: somebody else has it.
local function take_away(job)
  if job.s ~= 'ready' then
    call('ZREM', Q .. 'delayed', job.id)
    return true
  end
  if job.h then
    unhold(job)
    return true
  end
  local message, list = call('GET', M .. job.id), list_of(job.q, job.p)
  if not message then return false end
  -- From the end that it is nearer to: going through a long list takes its time.
  local right, left = call('LINDEX', list, -1), call('LINDEX', list, 0)
  local near = 1
  if right == message then
    near = -1
  elseif right and left then
    local old, new = match(right, OURS), match(left, OURS)
    old = old and tonumber(call('HGET', J .. old, 'k') or 0) or 0
    new = new and tonumber(call('HGET', J .. new, 'k') or 0) or 0
    if math.abs(job.k - old) < math.abs(new - job.k) then near = -1 end
  end
  return call('LREM', list, near, message) > 0
end

-- A pending job ends without having run.
local function end_pending(job, state, why)
  local there = take_away(job)
  local was_ready = job.s == 'ready'
  moved(job, state)
  call('HSET', J .. job.id, 's', state, 'fa', now_text)
  call('HDEL', J .. job.id, 'da', 'h', 'pr')
  ended(job, now)
  tell(job.id, state, revoked(job.id, why))
  if was_ready and job.ck then free(job.ck) end
  return there
end

-- --- time -------------------------------------------------------------------------------------------

local function expire()
  local ids = call('ZRANGEBYSCORE', Q .. 'expiry', '-inf', now_text, 'LIMIT', 0, AT_ONCE)
  local expired = 0
  for _, id in ipairs(ids) do
    local job = load(id)
    call('ZREM', Q .. 'expiry', id)
    if job and (job.s == 'ready' or job.s == 'scheduled' or job.s == 'retry') then
      end_pending(job, 'expired', 'expired')
      expired = expired + 1
    end
  end
  return expired, #ids
end

local function promote()
  local ids = call('ZRANGEBYSCORE', Q .. 'delayed', '-inf', now_text, 'LIMIT', 0, AT_ONCE)
  local jobs = {}
  for _, id in ipairs(ids) do
    local job = load(id)
    if job and job.da and (job.s == 'scheduled' or job.s == 'retry') then jobs[#jobs + 1] = job end
  end
  table.sort(jobs, function(x, y) return x.da < y.da or (x.da == y.da and x.k < y.k) end)
  for _, job in ipairs(jobs) do
    moved(job, 'ready')
    call('HSET', J .. job.id, 's', 'ready', 'ra', text(job.da), 'da', '')
    stand(job, job.da)
  end
  for _, id in ipairs(ids) do call('ZREM', Q .. 'delayed', id) end
  return #jobs, #ids
end

-- A bounded piece of what time asks for: how many were promoted, how many expired, whether there may be more.
local function advance()
  local expired, seen = expire()
  local promoted, due = promote()
  return promoted, expired, seen == AT_ONCE or due == AT_ONCE
end

-- --- runs -------------------------------------------------------------------------------------------

local HEAD, TAIL = 65536, 65536

local function drop_output(id, attempt)
  call('UNLINK', Q .. 'output:' .. id .. ':' .. attempt, Q .. 'output:' .. id .. ':' .. attempt .. ':tail')
end

-- The next pieces of output among the arguments, which Lua's MessagePack cannot carry.
local RAW = 4
local function counted_off(pieces)
  local found = {}
  for n = 1, pieces do found[n] = ARGV[RAW + n - 1] end
  RAW = RAW + pieces
  return found
end

-- Pieces `<stream> <offset>\n<bytes>` of an attempt's output: its head is kept, and its end.
local function keep_output(id, attempt, pieces)
  local head = Q .. 'output:' .. id .. ':' .. string.format('%.0f', attempt)
  local tail = head .. ':tail'
  local stop, tailed = 0, false
  for _, piece in ipairs(pieces) do
    local start, _, offset = piece:find('^%S+ (%d+)\n')
    offset = tonumber(offset)
    if offset < HEAD then
      call('RPUSH', head, piece)
    else
      call('RPUSH', tail, piece)
      tailed = true
      stop = offset + #piece - #match(piece, '^%S+ %d+\n')
    end
  end
  while tailed do
    local second = call('LINDEX', tail, 1)
    if not second or stop - tonumber(match(second, '^%S+ (%d+)\n')) < TAIL then break end
    call('LPOP', tail)
  end
  call('HSET', J .. id, 'o', string.format('%.0f', attempt))
  if output_keep > 0 then
    call('EXPIRE', head, output_keep)
    call('EXPIRE', tail, output_keep)
  end
end

-- What Celery published of a job while it still ran (its own retry) stands in its list from now on.
local function let_go(id)
  local list, raw = unpack(call('HMGET', J .. id, 'nl', 'nx'))
  if not raw then return false end
  call('HDEL', J .. id, 'nl', 'nx')
  call('LPUSH', list, raw)
  ring('ready')
  return true
end

-- A job no longer runs: its claim is gone, and its slots are free. Where its next message is there it stands `ahead`.
local function stopped(job)
  local tag = job.dt or job.id
  call('HDEL', P .. 'unacked', tag)
  call('ZREM', P .. 'unacked_index', tag)
  if job.ck then
    if call('HINCRBY', Q .. 'keys', job.ck, -1) <= 0 then call('HDEL', Q .. 'keys', job.ck) end
  end
  job.ahead = let_go(job.id)
  ring_if_limited(job.q)
end

-- As if it had not been started; it keeps its place, unless it was asked to stop.
local function give_back(job)
  drop_output(job.id, job.a)
  stopped(job)
  local attempt = string.format('%.0f', job.a - 1)
  local o = job.o and tonumber(job.o) == job.a and attempt or job.o or ''
  if job.st then
    moved(job, 'cancelled')
    call('HSET', J .. job.id, 's', 'cancelled', 'a', attempt, 'tok', '', 'fa', now_text, 'o', o)
    call('HDEL', J .. job.id, 'st', 'pr')
    if job.ahead then call('HSET', J .. job.id, 'tm', '1', 'x', '1') end
    ended(job, now)
    tell(job.id, 'cancelled', revoked(job.id, 'terminated'))
  else
    moved(job, 'ready')
    call('HSET', J .. job.id, 's', 'ready', 'a', attempt, 'tok', '', 'o', o)
    call('HDEL', J .. job.id, 'pr')
    if job.xa then call('ZADD', Q .. 'expiry', job.xa, job.id) end
    if job.ahead then call('HSET', J .. job.id, 'tm', '1', 'x', '1') else stand(job, job.ra or now) end
  end
  if job.ck then free(job.ck) end
end
