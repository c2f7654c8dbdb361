-- Token buckets on Redis's clock, as theoretical arrival times (the generic cell rate algorithm, ITU-T I.371).
-- A bucket is {key, interval, burst}: `interval` microseconds between starts at the steady rate, `burst` starts at
-- once after a pause. A key that does not exist is a full bucket.
-- INVARIANT: in every window of length T at most burst + T / interval tokens are taken.

-- The buckets of a job, the tool's own first. `job.limits` holds the keyed ones, resolved at submit.
function sb.buckets(P, job, policy)
  local out = {}
  local interval = sb.num(policy.interval)
  if interval > 0 then
    out[1] = {key = P .. ':bucket:tool:' .. job.tool, interval = interval, burst = sb.num(policy.burst), own = true}
  end
  if job.limits ~= '' then
    for _, b in ipairs(cjson.decode(job.limits)) do
      out[#out + 1] = {key = P .. ':bucket:' .. b[1], interval = b[2], burst = b[3]}
    end
  end
  return out
end

-- Microseconds until `count` tokens can be taken from the bucket; 0 when they can be now. Takes nothing.
function sb.wait_for(bucket, count, now)
  local tat = math.max(sb.num(redis.call('GET', bucket.key)), now)
  return math.max(0, tat + bucket.interval * count - bucket.interval * bucket.burst - now)
end

local function store(bucket, tat, now)
  if tat <= now then
    redis.call('DEL', bucket.key)
  else
    redis.call('SET', bucket.key, sb.int(tat), 'PX', math.ceil((tat - now) / 1000) + 1000)
  end
end

-- Takes one token from every bucket or none. Returns 0, or the microseconds to wait and the bucket that says so.
function sb.take(buckets, now)
  local wait, blocked = 0, nil
  for _, b in ipairs(buckets) do
    local w = sb.wait_for(b, 1, now)
    if w > wait then wait, blocked = w, b end
  end
  if wait > 0 then return wait, blocked end
  for _, b in ipairs(buckets) do
    store(b, math.max(sb.num(redis.call('GET', b.key)), now) + b.interval, now)
  end
  return 0, nil
end

-- Gives one token back to every bucket: the provider was never reached.
function sb.refund(buckets, now)
  for _, b in ipairs(buckets) do
    local tat = tonumber(redis.call('GET', b.key) or '')
    if tat then store(b, tat - b.interval, now) end
  end
end

-- The keyed limits of a call as JSON of {{name, interval, burst}, …}; a payload field that is absent has no bucket.
function sb.resolve_limits(policy, tool, payload, role, tenant)
  if not policy.limit_keys or policy.limit_keys == '' then return '' end
  local out, args = {}, nil
  for _, limit in ipairs(cjson.decode(policy.limit_keys)) do
    local key, value = limit[1], nil
    if key == 'tenant' then value = tenant
    elseif key == 'role' then value = role
    elseif string.sub(key, 1, 9) == 'provider:' then value = ''
    else
      args = args or cjson.decode(payload)
      value = args
      for part in string.gmatch(key, '[^.]+') do
        value = type(value) == 'table' and value[part] or nil
      end
      if type(value) == 'table' or value == cjson.null then value = nil end
    end
    if value ~= nil then
      local scope = string.sub(key, 1, 9) == 'provider:' and key or ('key:' .. tool .. ':' .. key)
      if type(value) == 'number' then value = string.format('%.17g', value) end -- tostring keeps 14 digits
      out[#out + 1] = {scope .. ':' .. tostring(value), limit[2], limit[3]}
    end
  end
  return #out > 0 and cjson.encode(out) or ''
end
