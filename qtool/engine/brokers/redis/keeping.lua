-- A worker of ours keeps what is not due; where only Celery's are, they do it themselves, with the message in their hands.
local watched
local function ours_to_keep(queue)
  if call('EXISTS', P .. '_kombu.binding.' .. queue) == 0 then return true end
  if watched == nil then
    watched = false
    for _, worker in ipairs(call('SMEMBERS', Q .. 'workers')) do
      local info = call('HGET', Q .. 'worker:' .. worker, 'info')
      local sound, said = pcall(cjson.decode, info or '')
      if sound and now - (tonumber(said.seen_at) or 0) < 60 then watched = true end
    end
  end
  return watched
end
