-- with common strangers
-- Messages without a record get one, where they lie: {list, queue, step, near its head}…, and the messages after them.
-- Returns for each whether it was still there and could be read.
local answer = {}
for i, item in ipairs(A[4]) do
  local list, queue, step, head = unpack(item)
  local raw = ARGV[3 + i]
  local said = read(raw)
  answer[i] = 0
  if said and call('EXISTS', J .. said.id) == 0 and call('LPOS', list, raw, 'RANK', head and 1 or -1) then
    -- What is not due, or too late, has its message in the record only.
    if not admit(queue, step, said, raw) then call('LREM', list, head and 1 or -1, raw) end
    answer[i] = 1
  end
end
finish()
return answer
