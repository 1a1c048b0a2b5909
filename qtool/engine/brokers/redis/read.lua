-- Reads records and what goes with them. ARGV: what the keys of records begin with, of messages, of Celery's results;
-- the hash of what is claimed; how many bytes at most (it stops after the job that exceeds them); then ids.
-- Returns for each id the record's fields, the message, whether it is claimed, and Celery's result: the last two only
-- of jobs that a worker of Celery's may have taken. An id without a record has false.
local records, messages, results, unacked, budget = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local found, bytes = {}, 0
for i = 6, #ARGV do
  local id = ARGV[i]
  local fields = redis.call('HGETALL', records .. id)
  if #fields == 0 then
    found[#found + 1] = false
  else
    local message = redis.call('GET', messages .. id)
    local claimed, result = 0, false
    local ready, tag = false, id
    for n = 1, #fields, 2 do
      if fields[n] == 's' then ready = fields[n + 1] == 'ready' end
      if fields[n] == 'dt' then tag = fields[n + 1] end
    end
    if ready then
      claimed = redis.call('HEXISTS', unacked, tag)
      result = redis.call('GET', results .. id)
    end
    if message then bytes = bytes + #message end
    found[#found + 1] = {fields, message, claimed, result}
    if bytes > budget then break end
  end
end
return found
