-- What wrk sends: requests as a browser sends them, their hosts spread over all of the table.
-- wrk ... URL -- HOSTS_FILE
local requests = {}
local turn = 0

local paths = { "/", "/index.html", "/api/v1/items?page=2&order=asc", "/static/css/site.3f2a1c.css" }

local headers = {
  ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
  ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
  ["Accept-Language"] = "en-GB,en;q=0.7,de;q=0.3",
  ["Accept-Encoding"] = "gzip, deflate, br",
  ["Cookie"] = "session=5c1b0a7e9d3f4c6e8a2b1d0f7e6c5a4b; theme=dark; consent=1.1.0.1; _id=GA1.2.1029384756.1700000000",
}

function init(args)
  for host in io.lines(args[1]) do
    headers["Host"] = host
    requests[#requests + 1] = wrk.format("GET", paths[#requests % #paths + 1], headers)
  end
  -- Neighbours in the table are not asked for one after the other.
  math.randomseed(1)
  for i = #requests, 2, -1 do
    local j = math.random(i)
    requests[i], requests[j] = requests[j], requests[i]
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

-- The driver reads this line; times are in microseconds.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "duration": %d, "p50": %d, "p99": %d, "max": %d, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
