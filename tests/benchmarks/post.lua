-- Posts a confirmation with a receipt of its own each time. Arguments: path, run, loan number.
local threads, number = 0, 0

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function init(arguments)
  path, run, account = arguments[1], arguments[2], arguments[3]
end

function request()
  number = number + 1
  local receipt = string.format("U%s%d%06d", run, id, number)
  local body = '{"TransactionType":"Pay Bill","TransID":"' .. receipt .. '",' ..
    '"TransTime":"20260302103100","TransAmount":"500.00","BusinessShortCode":"174379",' ..
    '"BillRefNumber":"' .. account .. '","InvoiceNumber":"","OrgAccountBalance":"49197.00",' ..
    '"ThirdPartyTransID":"","MSISDN":"2547 ***** 678","FirstName":"WANJIKU","MiddleName":"",' ..
    '"LastName":"MWANGI"}'
  return wrk.format("POST", path, {["Content-Type"] = "application/json"}, body)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
