-- Renews the leases that one process holds.
-- KEYS[1] root. ARGV: 1 lease (microseconds), then job, attempt for each.
-- RETURNS for each: 1 renewed, 0 the attempt does not hold the job any more, 2 renewed and the caller has cancelled.

local function renew_leases(keys, args)
  local P, now = keys[1], sb.now()
  local till, out = sb.int(now + tonumber(args[1])), {}
  for i = 2, #args, 2 do
    local id = args[i]
    local key = P .. ':job:' .. id
    local job = redis.call('HMGET', key, 'state', 'attempts', 'tool', 'cancel')
    if job[1] == 'running' and job[2] == args[i + 1] then
      redis.call('HSET', key, 'lease', till)
      redis.call('ZADD', P .. ':due', till, id)
      redis.call('ZADD', P .. ':running:' .. job[3], 'XX', till, id)
      out[#out + 1] = job[4] and 2 or 1
    else
      out[#out + 1] = 0
    end
  end
  return out
end

redis.register_function{function_name = 'sb1_renew_leases', callback = renew_leases, flags = {'allow-oom'}}
