-- Does what has come due: retries, expiries, lost hints, lost leases, releases of waiting rooms.
-- KEYS[1] root. ARGV: 1 most jobs to look at, 2 most releases a room.
-- RETURNS {jobs looked at and released, microseconds until something else is due}.
-- Any number of pumps may call it at once; each due job is taken by one of them.

local function look(P, job, now)
  if sb.over(job, now) and job.state ~= 'running' then
    sb.expire(P, job, now)
  elseif job.state == 'queued' then
    local place = sb.place(P, job)
    if place > 0 then
      sb.due(P, job, now + sb.GRACE + math.min(place * sb.POP, sb.MAX_GRACE), now)
    else
      redis.call('HINCRBY', P .. ':stats:' .. job.tool, 'rehints', 1)
      sb.hint(P, job, now, true)
    end
  elseif job.state == 'running' then
    local lease = sb.num(job.lease)
    if lease <= now then
      sb.rescue(P, job, now, 'lease lost')
    else
      redis.call('ZADD', P .. ':due', sb.int(lease), job.id)
    end
  elseif job.state == 'retrying' then
    sb.admit(P, job, sb.policy(P, job.tool), now, 'retry')
  elseif job.state == 'waiting' then
    redis.call('ZREM', P .. ':due', job.id)
    if job.order == '' or not redis.call('ZSCORE', P .. ':room:' .. job.tool, job.id) then
      sb.admit(P, job, sb.policy(P, job.tool), now, 'limit free')
    end
  end
end

-- Runs `step`; a job or a tool that breaks it, such as one whose policy is gone, is put off and holds up no other.
local PUT_OFF = 60000000
local function guard(P, set, member, now, step, ...)
  local fine, result = pcall(step, P, ...)
  if fine then return result or 0 end
  redis.log(redis.LOG_WARNING, 'salesboost: ' .. set .. ' ' .. member .. ' is put off: ' ..
    tostring(type(result) == 'table' and result.err or result))
  redis.call('ZADD', P .. set, sb.int(now + PUT_OFF), member)
  return 0
end

local function advance_jobs(keys, args)
  local P, now = keys[1], sb.now()
  local done = 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. ':due', '-inf', sb.int(now), 'LIMIT', 0, args[1])) do
    local job = sb.load(P, id)
    if not job or sb.TERMINAL[job.state] then redis.call('ZREM', P .. ':due', id) else guard(P, ':due', id, now, look, job, now) end
    done = done + 1
  end
  for _, tool in ipairs(redis.call('ZRANGEBYSCORE', P .. ':rooms', '-inf', sb.int(now), 'LIMIT', 0, 100)) do
    done = done + guard(P, ':rooms', tool, now, sb.release, tool, sb.policy(P, tool), now, tonumber(args[2]))
  end
  local at = now + 1000000
  for _, key in ipairs({P .. ':due', P .. ':rooms'}) do
    local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if head[2] then at = math.min(at, tonumber(head[2])) end
  end
  at = math.max(at, now)
  redis.call('SET', P .. ':next', sb.int(at), 'PX', 10000)
  return {done, sb.int(at - now)}
end

redis.register_function{function_name = 'sb1_advance_jobs', callback = advance_jobs, flags = {'allow-oom'}}
