-- Keys, clock and small words that every function shares. P is keys[1], the root such as {sb}: its braces put
-- every key of one ledger into one cluster slot.
--
--   P:job:<id>        HASH  a job; no TTL while it is open, retention after it settled
--   P:due             ZSET  open job -> microsecond at which somebody must look at it   (permanent)
--   P:q:<queue>…      LIST  hints, in kombu's format and naming                          (permanent)
--   P:pushed          HASH  queue list -> hints ever pushed to it                        (permanent)
--   P:tool:<name>     HASH  policy and catalogue entry published by workers              (permanent)
--   P:tools           SET   names of published tools                                     (permanent)
--   P:stats:<tool>    HASH  gauges n:<state>, totals t:<state>, latency histograms       (permanent)
--   P:bucket:…        STRING theoretical arrival time in microseconds; TTL = its distance from now
--   P:room:<tool>     ZSET  waiting job -> order; lives while anybody waits
--   P:rooms           ZSET  tool with a room -> microsecond of its next possible release; likewise
--   P:released:<tool> ZSET  hinted and not yet started job of a limited tool -> expiry; TTL
--   P:running:<tool>  ZSET  running job -> end of lease; TTL
--   P:batch:<id>      HASH  counters of a batch; TTL
--   P:batch:<id>:next LIST  members not yet admitted; TTL
--   P:inbox:<client>  LIST  settled jobs a client waits for; TTL 120 s
--   P:events          STREAM capped; one entry a change of state                         (permanent)
--   P:dead, P:unknown ZSET  job -> when; jobs that wait for a person                     (permanent)
--   P:fleet           HASH  switches published by workers                                (permanent)
--   P:catalogue       HASH  tool -> what producers may know of it (JSON)                 (permanent)
--   P:group:<name>    HASH  tools and switches of a routing group                        (permanent)
--   P:bandit:<name>   HASH  counts and rewards of a routing group                        (permanent)
--   P:decision:<id>   HASH  a routing decision that may be answered; TTL 1 h
--   P:worker:<name>   HASH  a living worker; TTL 15 s
--   P:workers         ZSET  worker -> second of its last sign of life                    (permanent)
--   P:next, P:wake    STRING, LIST  when the earliest pump wakes, and what wakes it before; TTL

local sb = {}

sb.revision = '@REVISION@'

function sb.now()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- Lua prints large numbers with 14 digits; microseconds of the epoch have 16.
function sb.int(x)
  return string.format('%.0f', x)
end

function sb.num(s)
  return tonumber(s or '') or 0
end

-- JSON of an error as `salesboost.models.ErrorInfo` reads it.
function sb.error(code, kind, message, retryable, retry_after_us)
  return cjson.encode({
    code = code, type = kind, message = message, retryable = retryable,
    retry_after = retry_after_us and retry_after_us / 1000000 or cjson.null,
  })
end

function sb.expire_later(key, us)
  redis.call('PEXPIRE', key, math.max(1, math.ceil(us / 1000)))
end

sb.HOUR = 3600 * 1000000
sb.FOREVER = 9e15 -- microseconds; year 2255
