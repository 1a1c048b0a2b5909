-- Goes over a stretch of the keyspace for what names a queue. ARGV: cursor, how many keys, prefix of all keys.
-- Returns the next cursor, the keys of bindings, and the keys of lists that are not qtool's own.
local prefix = ARGV[3]
local ours, bindings, results = prefix .. 'qtool:', prefix .. '_kombu.binding.', 'celery-task-meta-'
local scanned = redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2])
local bound, lists = {}, {}
for _, key in ipairs(scanned[2]) do
  if key:sub(1, #prefix) == prefix and key:sub(1, #ours) ~= ours and key:sub(1, #results) ~= results then
    if key:sub(1, #bindings) == bindings then
      bound[#bound + 1] = key
    elseif redis.call('TYPE', key).ok == 'list' then
      lists[#lists + 1] = key
    end
  end
end
return {scanned[1], bound, lists}
