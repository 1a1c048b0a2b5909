-- Whether the job is as it was when it was looked at: the text that freight.py makes of the same fields.
local function unchanged(id, seen)
  local values = call('HMGET', J .. id, 's', 'k', 'q', 'a', 'f', 'cr', 'ra', 'da', 'xa', 'fa')
  for i = 1, 10 do values[i] = values[i] or '' end
  return values[1] ~= 'running' and table.concat(values, '|') == seen
end
