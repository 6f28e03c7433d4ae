wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"input":"' .. string.rep("a", 16384 - 12) .. '"}'
