-- Takes a call into the ledger and hints it, in one step.
-- KEYS[1] root. ARGV: 1 tool, 2 payload (canonical JSON), 3 role, 4 tenant, 5 tool_call_id, 6 priority 0..9,
--   7 deadline (microseconds from now, '' for none), 8 longest wait for a limit (microseconds, '' for any),
--   9 on_limit wait|raise, 10 inbox ('' for none; +name to be told every event), 11 batch ('' for none), 12 index,
--   13 retention (microseconds, '' for the fleet's), 14 celery id, 15 celery embed, 16 celery headers ('' but for plain
--   Celery producers), 17 microseconds to wait before it may start ('' for none).
-- RETURNS {'queued', id} | {'waiting', id, before, microseconds} | {'joined', id, state} | {'known', id, record…}
--   | {'refused', code, message, microseconds}.
-- INVARIANT: one (tenant, tool, tool_call_id) has one job; a refusal stores nothing.

local function submit_job(keys, args)
  local P, now = keys[1], sb.now()
  local tool, payload, role, tenant, tcid = args[1], args[2], args[3], args[4], args[5]
  local policy = sb.policy(P, tool)
  if not policy then
    return {'refused', 'TOOL_NOT_FOUND', 'no worker has published a tool named ' .. tool .. '; published are: ' ..
      table.concat(redis.call('SMEMBERS', P .. ':tools'), ', '), 0}
  end
  if policy.roles ~= '' and not string.find(policy.roles, ' ' .. role .. ' ', 1, true) then
    return {'refused', 'TOOL_FORBIDDEN', 'role ' .. role .. ' may not call ' .. tool .. '; roles that may:' ..
      policy.roles, 0}
  end
  if #payload > sb.num(policy.max_payload) then
    return {'refused', 'TOOL_PAYLOAD_TOO_LARGE', 'the payload for ' .. tool .. ' is ' .. #payload ..
      ' bytes of JSON, at most ' .. policy.max_payload .. ' are taken; pass a reference instead', 0}
  end
  local id = redis.sha1hex(tenant .. '\0' .. tool .. '\0' .. tcid)
  local key = P .. ':job:' .. id
  local inbox, batch = args[10], args[11]
  local known = redis.call('HMGET', key, 'state', 'payload', 'inboxes', 'refused')
  if known[1] and known[4] then
    redis.call('DEL', key)
  elseif known[1] then
    if known[2] ~= payload then
      return {'refused', 'TOOL_CONFLICT', 'tool_call_id ' .. tcid .. ' was used for ' .. tool ..
        ' with another payload; use a new tool_call_id for a new call', 0}
    end
    if sb.TERMINAL[known[1]] then
      local record = redis.call('HMGET', key, unpack(sb.RECORD))
      for i = 1, #record do record[i] = record[i] or '' end
      return {'known', id, unpack(record)}
    end
    sb.watch(key, known[3], inbox)
    redis.call('HINCRBY', P .. ':stats:' .. tool, 'joined', 1)
    return {'joined', id, known[1]}
  end

  local limits = sb.resolve_limits(policy, tool, payload, role, tenant)
  local job = {
    id = id, key = key, tool = tool, state = 'new', seq = 0, attempts = 0, hints = 0, tcid = tcid, role = role,
    tenant = tenant, priority = args[6], queue = policy.queue, batch = batch, inboxes = inbox, limits = limits,
    deadline = args[7] ~= '' and sb.int(now + tonumber(args[7])) or '', created = sb.int(now), order = '',
    celery_id = args[14] or '', on_limit = args[9],
  }
  if args[9] == 'raise' or args[7] ~= '' or args[8] ~= '' then
    local wait = sb.estimate(P, job, policy, now)
    local most = args[9] == 'raise' and 0 or math.min(tonumber(args[7]) or sb.FOREVER, tonumber(args[8]) or sb.FOREVER)
    if wait > most then
      redis.call('HINCRBY', P .. ':stats:' .. tool, 'refused', 1)
      return {'refused', 'TOOL_RATE_LIMITED', tool .. ' is at its limit; the next start is expected in ' ..
        string.format('%.3f', wait / 1000000) .. ' s; call again then, or submit with on_limit="wait"', sb.int(wait)}
    end
  end
  redis.call('HSET', key, 'id', id, 'tool', tool, 'payload', payload, 'role', role, 'tenant', tenant, 'tcid', tcid,
    'priority', args[6], 'queue', policy.queue, 'created', job.created, 'deadline', job.deadline, 'inboxes', inbox,
    'batch', batch, 'index', args[12], 'version', policy.version, 'limits', limits, 'on_limit', args[9],
    'keep_us', args[13] ~= '' and args[13] or policy.retention or '', 'attempts', 0)
  if job.celery_id ~= '' then
    redis.call('HSET', key, 'celery_id', job.celery_id, 'embed', args[15], 'headers', args[16])
  end
  redis.call('HINCRBY', P .. ':stats:' .. tool, 'submitted', 1)
  if (args[17] or '') ~= '' then
    sb.park(P, job, now + tonumber(args[17]), now, 'scheduled')
  elseif batch == '' or sb.batch_enter(P, job, now) then sb.admit(P, job, policy, now, 'submitted') end
  if job.state == 'waiting' then
    local before, wait = sb.outlook(P, job, policy, now)
    return {'waiting', id, before, sb.int(wait)}
  end
  return {'queued', id}
end

redis.register_function{function_name = 'sb1_submit_job', callback = submit_job}
