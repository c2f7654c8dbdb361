-- Cancels a job: at once when no attempt runs, else by asking the attempt, whose next heartbeat learns of it.
-- KEYS[1] root. ARGV: 1 job.
-- RETURNS {'cancelled'} | {'requested'} | {'settled', state} | {'gone'}.

local function cancel_job(keys, args)
  local P, now = keys[1], sb.now()
  local job = sb.load(P, args[1])
  if not job then return {'gone'} end
  if sb.TERMINAL[job.state] then return {'settled', job.state} end
  if job.state == 'running' then
    redis.call('HSET', job.key, 'cancel', sb.int(now))
    sb.event(P, job, 'cancelling', now, '')
    return {'requested'}
  end
  sb.cancelled(P, job, now)
  return {'cancelled'}
end

redis.register_function{function_name = 'sb1_cancel_job', callback = cancel_job, flags = {'allow-oom'}}
