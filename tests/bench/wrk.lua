-- What wrk found, as one line of JSON in the words of the bench's own generator (load.c).
function done(summary, latency, _)
	local e = summary.errors
	local failures = e.connect + e.read + e.write + e.status + e.timeout

	print(string.format('{"failures": %d, "failed": {"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}, ' ..
		'"units": %d, "seconds": %.6f, "p50_us": %d, "p99_us": %d, "p999_us": %d}',
		failures, e.connect, e.read, e.write, e.status, e.timeout,
		summary.requests, summary.duration / 1e6,
		latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
