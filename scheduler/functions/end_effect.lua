-- Confirms an effect, or lifts its fence because the provider certainly did nothing.
-- KEYS[1] root. ARGV: 1 job, 2 attempt, 3 name of the effect, 4 done | undone, 5 receipt (JSON).
-- RETURNS {'ok'} | {'stale', state} when the attempt does not hold the job any more.

local function end_effect(keys, args)
  local key = keys[1] .. ':job:' .. args[1]
  local field = 'fx:' .. args[3]
  local job = redis.call('HMGET', key, 'state', 'attempts', field)
  if job[1] ~= 'running' or job[2] ~= args[2] then return {'stale', job[1] or 'gone'} end
  if job[3] and string.sub(job[3], 1, 5) == 'begun' then
    redis.call('HINCRBY', key, 'fences', -1)
    if args[4] == 'done' then
      redis.call('HSET', key, field, 'done ' .. args[5])
    else
      redis.call('HDEL', key, field)
    end
  end
  return {'ok'}
end

redis.register_function{function_name = 'sb1_end_effect', callback = end_effect, flags = {'allow-oom'}}
