-- with common
-- What nobody has acknowledged for too long stands in its list again, as by kombu's own sweep (WIRE.md section 2):
-- {tag, score, list or false (there is no message), id or false}…, and of each what it is claimed with and the message.
-- Returns of each whether it went; nothing goes while a worker of Celery's sweeps, nor what one of ours runs.
local gone = {}
local swept = call('EXISTS', P .. 'unacked_mutex') == 1
local unacked, index = P .. 'unacked', P .. 'unacked_index'

local function restore(tag, score, list, id, entry, message)
  if tonumber(call('ZSCORE', index, tag) or '') ~= score then return false end
  if not list then
    if call('HEXISTS', unacked, tag) == 1 then return false end
    call('ZREM', index, tag)
    return true
  end
  if call('HGET', unacked, tag) ~= entry then return false end
  local job = id and load(id)
  local the_same = job and (job.dt or job.id) == tag
  if the_same and job.s == 'running' then return false end
  call('HDEL', unacked, tag)
  call('ZREM', index, tag)
  call('RPUSH', list, message)
  if the_same and job.s == 'ready' then call('SET', M .. job.id, message) end
  ring('ready')
  return true
end

for i, item in ipairs(A[4]) do
  gone[i] = not swept and restore(item[1], item[2], item[3], item[4], ARGV[2 + 2 * i], ARGV[3 + 2 * i]) and 1 or 0
end
finish()
return gone
