-- Opens a batch before its members are submitted.
-- KEYS[1] root. ARGV: 1 batch, 2 most members at a time ('' for the fleet's default).
-- RETURNS the window in force: 1 when the fleet runs batches one by one.

local function open_batch(keys, args)
  local P = keys[1]
  local fleet = redis.call('HMGET', P .. ':fleet', 'parallel_enabled', 'parallel_max_concurrent')
  local most = tonumber(args[2]) or tonumber(fleet[2] or '') or 5
  if fleet[1] == '0' then most = 1 end
  local key = P .. ':batch:' .. args[1]
  redis.call('HSET', key, 'max', most, 'created', sb.int(sb.now()))
  redis.call('EXPIRE', key, 7 * 86400)
  return most
end

redis.register_function{function_name = 'sb1_open_batch', callback = open_batch}
