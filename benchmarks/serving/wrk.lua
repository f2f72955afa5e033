-- Post the bodies in the file BODIES, one a line, in turn. With PAUSE, each of the CONNECTIONS waits
-- between an answer and its next request for a random time with that mean, in milliseconds.
-- The first requests do not wait: some servers treat a silent connection as a slow client.

local requests, turn = {}, 0
local pause, waited = tonumber(os.getenv("PAUSE")), -tonumber(os.getenv("CONNECTIONS"))

function init()
  wrk.method = "POST"
  wrk.headers["Content-Type"] = os.getenv("CONTENT_TYPE")
  for body in io.lines(os.getenv("BODIES")) do
    requests[#requests + 1] = wrk.format(nil, nil, nil, body)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

if pause > 0 then
  function delay()
    waited = waited + 1
    return waited > 0 and -math.log(1 - math.random()) * pause or 0
  end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "failed": %d}\n',
    summary.requests - errors.status, summary.duration, latency:percentile(50), latency:percentile(99), failed))
end
