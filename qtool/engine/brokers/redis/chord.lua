-- with common sending
-- A chord whose parts are all there goes on, once: {group, claim, messages, sizes, results, broken, kept}, as follow.lua
-- has them. Returns whether the claim still held.
local group, claim, messages, sizes, results, broken, kept = unpack(A, 4, 10)
local key = groups .. group
if call('GET', key .. '.c') ~= claim then return 0 end
send(messages, sizes, results, kept)
if broken then
  -- Its parts stay; without its size no further one fails it again.
  call('DEL', key .. '.s')
else
  call('DEL', key .. '.j', key .. '.t', key .. '.s', key .. '.d')
  call('SET', key .. '.c', 'done', 'EX', 300)
end
finish()
return 1
