-- Says that the process which ran an attempt is dead, so that nobody waits for its lease.
-- KEYS[1] root. ARGV: 1 job, 2 worker ("host:pid") that ended, 3 why, 4 spare 0|1: the attempt is not
--   counted against the job, because the worker was told to stop, 5 attempt ('' for whichever the worker runs: threads
--   of one process may run two attempts of a job).
-- RETURNS {state} the job is in now | {'stale', state} when that worker does not hold the job.

local function abandon_attempt(keys, args)
  local P, now = keys[1], sb.now()
  local job = sb.load(P, args[1])
  if not job then return {'stale', 'gone'} end
  if job.state ~= 'running' or job.worker ~= args[2] then return {'stale', job.state} end
  if args[5] ~= '' and job.attempts ~= tonumber(args[5]) then return {'stale', job.state} end
  if args[4] == '1' then redis.call('HINCRBY', job.key, 'spared', 1) end
  sb.rescue(P, job, now, args[3])
  return {job.state}
end

redis.register_function{function_name = 'sb1_abandon_attempt', callback = abandon_attempt, flags = {'allow-oom'}}
