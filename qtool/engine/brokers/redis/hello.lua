-- with common
-- Who this database is, and how far the rates' clock is ahead of a host's: {a new id, boot id, what the host's shows}.
call('SETNX', Q .. 'id', A[4])
local time = call('TIME')
call('HSETNX', Q .. 'clocks', A[5], text(tonumber(time[1]) + tonumber(time[2]) / 1e6 - A[6]))
return {call('GET', Q .. 'id'), call('HGET', Q .. 'clocks', A[5])}
