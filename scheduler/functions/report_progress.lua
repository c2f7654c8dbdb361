-- Publishes how far an attempt is; nothing is stored in the job.
-- KEYS[1] root. ARGV: 1 job, 2 attempt, 3 detail (JSON).
-- RETURNS 1, or 0 when the attempt does not hold the job any more.

local function report_progress(keys, args)
  local P = keys[1]
  local job = sb.load(P, args[1])
  if not job or job.state ~= 'running' or job.attempts ~= tonumber(args[2]) then return 0 end
  sb.event(P, job, 'progress', sb.now(), args[3])
  return 1
end

redis.register_function{function_name = 'sb1_report_progress', callback = report_progress, flags = {'allow-oom'}}
