-- The job record, its states, and the one place where a state changes.

sb.LEGAL = {
  new = {waiting = true, queued = true},
  waiting = {queued = true, waiting = true, cancelled = true, expired = true},
  queued = {running = true, waiting = true, cancelled = true, expired = true, failed = true},
  running = {
    succeeded = true, failed = true, retrying = true, queued = true, cancelled = true, expired = true,
    dead = true, unknown = true,
  },
  retrying = {queued = true, waiting = true, cancelled = true, expired = true},
  failed = {queued = true, waiting = true},
  dead = {queued = true, waiting = true},
  unknown = {queued = true, waiting = true},
  succeeded = {}, cancelled = {}, expired = {},
}
sb.TERMINAL = {succeeded = true, failed = true, cancelled = true, expired = true, dead = true, unknown = true}
sb.GAUGED = {waiting = true, queued = true, running = true, retrying = true, dead = true, unknown = true}

-- What `read_job` and the inbox carry, in this order; `salesboost.wire.RECORD_FIELDS` is the same list.
sb.RECORD = {
  'id', 'tool', 'tcid', 'state', 'attempts', 'created', 'started', 'settled', 'run_us', 'worker', 'version',
  'role', 'tenant', 'batch', 'index', 'result', 'error',
}
sb.INLINE_BYTES = 8192 -- a larger result is fetched by its reader, so that an inbox stays small
sb.INBOX_ENTRIES = 20000

local CORE = {
  'state', 'tool', 'seq', 'attempts', 'lease', 'deadline', 'priority', 'queue', 'batch', 'inboxes', 'role',
  'tenant', 'tcid', 'hints', 'created', 'on_limit', 'limits', 'fences', 'cancel', 'order', 'list', 'mark',
  'index', 'worker', 'celery_id', 'keep_us',
}

function sb.load(P, id)
  local key = P .. ':job:' .. id
  local raw = redis.call('HMGET', key, unpack(CORE))
  if not raw[1] then return nil end
  local job = {id = id, key = key}
  for i, name in ipairs(CORE) do job[name] = raw[i] or '' end
  job.attempts, job.seq, job.hints = sb.num(job.attempts), sb.num(job.seq), sb.num(job.hints)
  return job
end

function sb.policy(P, tool)
  local raw = redis.call('HGETALL', P .. ':tool:' .. tool)
  if #raw == 0 then return nil end
  local policy = {}
  for i = 1, #raw, 2 do policy[raw[i]] = raw[i + 1] end
  return policy
end

local function tell(P, job, inbox, entry)
  local key = P .. ':inbox:' .. inbox
  if redis.call('RPUSH', key, entry) > sb.INBOX_ENTRIES then redis.call('LTRIM', key, -sb.INBOX_ENTRIES, -1) end
  redis.call('EXPIRE', key, 120)
end

-- Adds an inbox to those that are told of a job; `inboxes` is what the job has now.
function sb.watch(key, inboxes, inbox)
  inboxes = inboxes or ''
  if inbox ~= '' and not string.find(' ' .. inboxes .. ' ', ' ' .. inbox .. ' ', 1, true) then
    redis.call('HSET', key, 'inboxes', inboxes .. ' ' .. inbox)
  end
end

-- Publishes an event that changes no state, or the change that `move` has made.
function sb.event(P, job, kind, now, detail)
  redis.call('XADD', P .. ':events', 'MAXLEN', '~', 50000, '*', 'type', kind, 'job', job.id, 'tool', job.tool,
    'tool_call_id', job.tcid, 'role', job.role, 'tenant', job.tenant, 'attempt', job.attempts, 'at', sb.int(now),
    'batch', job.batch, 'detail', detail)
  for inbox in string.gmatch(job.inboxes, '%+(%S+)') do
    tell(P, job, inbox, cjson.encode({'event', job.id, kind, sb.int(now), job.attempts, detail}))
  end
end

-- Moves `job` to a state: checks that the step is legal, writes history and fields, keeps the gauges, tells.
-- INVARIANT: no other line of the library writes the field `state`.
function sb.move(P, job, to, now, detail, fields)
  local from = job.state
  local legal = sb.LEGAL[from]
  if not (legal and legal[to]) then
    error('SBILLEGAL job ' .. job.id .. ' cannot go from ' .. from .. ' to ' .. to)
  end
  job.seq = job.seq + 1
  local set = fields or {}
  local n = #set
  set[n + 1], set[n + 2] = 'state', to
  set[n + 3], set[n + 4] = 'seq', job.seq
  set[n + 5], set[n + 6] = 'h' .. job.seq, sb.int(now) .. ' ' .. to .. ' ' .. job.attempts .. ' ' .. detail
  redis.call('HSET', job.key, unpack(set))
  local stats = P .. ':stats:' .. job.tool
  if sb.GAUGED[from] then redis.call('HINCRBY', stats, 'n:' .. from, -1) end
  if sb.GAUGED[to] then redis.call('HINCRBY', stats, 'n:' .. to, 1) end
  if from ~= to then redis.call('HINCRBY', stats, 't:' .. to, 1) end
  job.state = to
  sb.event(P, job, to, now, detail)
end

-- Says when somebody must look at a job that no attempt holds: at `at`, or when its deadline passes before that.
function sb.due(P, job, at, now)
  local deadline = sb.num(job.deadline)
  if deadline > 0 and deadline < at then at = deadline end
  redis.call('ZADD', P .. ':due', sb.int(at), job.id)
  if at - now < 1000000 then sb.wake(P, at) end
end

-- Wakes a pump when something becomes possible before the pumps meant to look again.
function sb.wake(P, at)
  local next_look = tonumber(redis.call('GET', P .. ':next') or '')
  if next_look and at < next_look then
    redis.call('SET', P .. ':next', sb.int(at), 'PX', 10000)
    if redis.call('LLEN', P .. ':wake') == 0 then
      redis.call('LPUSH', P .. ':wake', '1')
      redis.call('PEXPIRE', P .. ':wake', 10000)
    end
  end
end

function sb.observe(stats, name, us)
  if us > 0 then redis.call('HINCRBY', stats, name .. math.floor(math.log(us) / math.log(1.1)), 1) end
end

-- Ends a job: everything that must happen once when it settles, in one step.
function sb.finish(P, job, to, now, detail, fields)
  local set = fields or {}
  local n = #set
  set[n + 1], set[n + 2] = 'settled', sb.int(now)
  local was = job.state
  sb.move(P, job, to, now, detail, set)
  redis.call('ZREM', P .. ':due', job.id)
  sb.leave(P, job, was)
  local keep = tonumber(job.keep_us) or 24 * sb.HOUR
  if to == 'dead' or to == 'unknown' then
    redis.call('ZADD', P .. ':' .. to, sb.int(now), job.id)
    redis.call('PERSIST', job.key)
  else
    sb.expire_later(job.key, keep)
  end
  sb.observe(P .. ':stats:' .. job.tool, 'total:', now - sb.num(job.created))
  if job.inboxes ~= '' then
    local record = redis.call('HMGET', job.key, unpack(sb.RECORD))
    local size = 0
    for i = 1, #record do
      record[i] = record[i] or ''
      size = size + #record[i]
    end
    local entry = size <= sb.INLINE_BYTES and cjson.encode({'settled', job.id, record}) or cjson.encode({'look', job.id})
    for inbox in string.gmatch(job.inboxes, '[^%s+]+') do tell(P, job, inbox, entry) end
  end
  if job.batch ~= '' then sb.batch_member_done(P, job, now) end
  if job.celery_id ~= '' and not job.attempt_tells then sb.tell_plain(P, job) end
end
