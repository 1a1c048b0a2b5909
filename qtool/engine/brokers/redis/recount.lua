-- Counts records afresh. KEYS: the index of all. ARGV: from which key on, without it; how many; what the keys of
-- records begin with; the hash of what is claimed; what the keys of unique holders begin with.
-- Returns the last key (false at the end), numbers by '<state>\n<queue>', 'held\n<queue>' and 'key\n<concurrency key>',
-- ids without a record, running ones that are not claimed, and unfinished ones whose unique key another holds.
local from, count, records, unacked, uniques = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local final = {succeeded = true, dead = true, cancelled = true, expired = true}
local stretch = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. from, '+inf', 'WITHSCORES', 'LIMIT', 0, count)
local numbers, lost, loose, doubled, last = {}, {}, {}, {}, false
local function add(name) numbers[name] = (numbers[name] or 0) + 1 end
for i = 1, #stretch, 2 do
  local id = stretch[i]
  last = stretch[i + 1]
  local said = redis.call('HMGET', records .. id, 's', 'q', 'h', 'ck', 'u', 'dt')
  local state, queue, held, key, unique = said[1], said[2], said[3], said[4], said[5]
  if not state then
    lost[#lost + 1] = id
  else
    add(state .. '\n' .. queue)
    if held and held ~= '' then add('held\n' .. queue) end
    if state == 'running' then
      if key and key ~= '' then add('key\n' .. key) end
      if redis.call('HEXISTS', unacked, said[6] or id) == 0 then loose[#loose + 1] = id end
    end
    if unique and unique ~= '' and not final[state] and redis.call('GET', uniques .. unique) ~= id then
      doubled[#doubled + 1] = id
    end
  end
end
if #stretch < 2 * tonumber(count) then last = false end
local flat = {}
for name, n in pairs(numbers) do
  flat[#flat + 1] = name
  flat[#flat + 1] = n
end
return {last, flat, lost, loose, doubled}
