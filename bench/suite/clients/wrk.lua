-- wrk … -s wrk.lua URL -- KIND: what is asked, and the result as one line of JSON.

local kinds = {}

kinds.get = function() return wrk.format("GET") end
kinds.close = function() return wrk.format("GET", nil, { ["Host"] = "bench.example", ["Connection"] = "close" }) end
kinds["post-1k"] = function() return wrk.format("POST", nil, nil, string.rep("x", 1024)) end
kinds["post-1m"] = function() return wrk.format("POST", nil, nil, string.rep("x", 1048576)) end

-- 16 KiB in four chunks.
kinds["chunked-up"] = function()
  local chunk = "1000\r\n" .. string.rep("x", 4096) .. "\r\n"
  return "POST " .. wrk.path .. " HTTP/1.1\r\nHost: bench.example\r\nTransfer-Encoding: chunked\r\n\r\n" .. string.rep(chunk, 4) .. "0\r\n\r\n"
end

local asked, index = {}, 0

function init(args)
  wrk.headers["Host"] = "bench.example"
  local kind, count = args[1], tonumber(args[2])
  if kind == "hosts" then
    -- In an order that no cache foresees, the same for every target.
    math.randomseed(1)
    for i = 1, 4096 do
      asked[i] = wrk.format("GET", nil, { ["Host"] = "h" .. math.random(0, count - 1) .. ".bench.example" })
    end
  else
    asked[1] = kinds[kind]()
  end
end

function request()
  index = index % #asked + 1
  return asked[index]
end

function done(summary, latency, requests)
  local e = summary.errors
  print(string.format('JSON {"requests":%d,"seconds":%f,"errors":%d,"p50":%f,"p99":%f,"bytes":%d,"detail":"connect %d, read %d, write %d, status %d, timeout %d"}',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), summary.bytes, e.connect, e.read, e.write, e.status, e.timeout))
end
