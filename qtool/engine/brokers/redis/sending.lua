-- What follows tasks: messages, chords that begin, results of tasks that will not run; kept for `kept` seconds.
local groups = metas:sub(1, -#'celery-task-meta-' - 1) .. 'celery-taskset-meta-'

local function send(messages, sizes, results, kept)
  for _, chord in ipairs(sizes) do
    -- The same group may be run again.
    call('DEL', groups .. chord[1] .. '.c')
    call('SET', groups .. chord[1] .. '.s', string.format('%.0f', chord[2]), 'EX', kept)
  end
  for _, sent in ipairs(messages) do
    call('LPUSH', sent[1], sent[3])
    call('SADD', Q .. 'queues', sent[2])
    ring('ready')
  end
  for _, result in ipairs(results) do
    call('SET', metas .. result[1], result[2], 'EX', kept)
    call('PUBLISH', metas .. result[1], result[2])
    ring('finished')
  end
end
