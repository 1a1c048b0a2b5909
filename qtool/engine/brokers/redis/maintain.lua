-- with common
-- A bounded piece of what time asks for. Returns how many were promoted, how many expired, whether there may be more,
-- and when the next job is due.
local promoted, expired, more = advance()
finish()
local next_due = call('ZRANGE', Q .. 'delayed', 0, 0, 'WITHSCORES')
return {promoted, expired, more and 1 or 0, next_due[2] or false}
