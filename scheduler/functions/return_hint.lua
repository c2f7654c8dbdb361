-- Takes back a hint that a worker could not follow: it does not know the tool, or could not reach its child.
-- KEYS[1] root. ARGV: 1 job, 2 microseconds until it is hinted again.
-- RETURNS 1, or 0 when the job is not queued.

local function return_hint(keys, args)
  local P, now = keys[1], sb.now()
  local job = sb.load(P, args[1])
  if not job or job.state ~= 'queued' then return 0 end
  redis.call('HSET', job.key, 'mark', '')
  sb.due(P, job, now + tonumber(args[2]), now)
  return 1
end

redis.register_function{function_name = 'sb1_return_hint', callback = return_hint, flags = {'allow-oom'}}
