#!/usr/bin/env bats
# What Prometheus makes of /metrics: its linter, and a real one that scrapes us.

# shellcheck disable=SC2154 # admin_start sets up and front
load ../helpers/common
load ../helpers/admin

scrape()
{
	curl -sf -m 10 "$(url /metrics)"
}

# value METRIC{LABELS}: as it stands in a scrape.
value()
{
	scrape | awk -v name="$1" 'index($0, name " ") == 1 { print $NF }'
}

# metrics_start: until a scrape says which of the two servers is not there.
metrics_start()
{
	admin_start echo
	wait_until '[ "$(value "proxyd_backend_servers{backend=\"app\",state=\"down\"}")" = 1 ]' 5
}

@test "prometheus: promtool has nothing to say about the metrics, and they are exact" {
	metrics_start
	client "127.0.0.1:$front" echo 100k
	client "127.0.0.1:$front" echo 20k
	wait_until '[ "$(value proxyd_connections)" = 0 ]' 5
	scrape >metrics
	run -0 bash -c "promtool check metrics <metrics"
	assert_eq "$output" ""
	curl -s -o /dev/null -D - "$(url /metrics)" | tr -d '\r' |
		grep -qi '^content-type: text/plain; version=0.0.4; charset=utf-8$'
	assert_eq "$(value 'proxyd_frontend_connections_total{frontend="web"}')" 2
	assert_eq "$(value 'proxyd_bytes_total{frontend="web",direction="in"}')" $((120 * 1024))
	assert_eq "$(value 'proxyd_bytes_total{frontend="web",direction="out"}')" $((120 * 1024))
	assert_eq "$(value 'proxyd_server_connections_total{backend="app",server="up"}')" 2
	assert_eq "$(value 'proxyd_server_up{backend="app",server="up"}')" 1
	assert_eq "$(value 'proxyd_server_up{backend="app",server="down"}')" 0
	assert_eq "$(value 'proxyd_connect_seconds_bucket{backend="app",le="+Inf"}')" 2
	assert_eq "$(value 'proxyd_connect_seconds_count{backend="app"}')" 2
	assert_eq "$(value 'proxyd_session_seconds_count{frontend="web"}')" 2
	# Buckets only grow.
	grep '^proxyd_connect_seconds_bucket' metrics | awk '$NF < last { exit 1 } { last = $NF }'
}

# Every counter of the first file is in the second, and not less.
never_less()
{
	awk 'NR == FNR { if ($0 !~ /^#/) was[$1] = $NF; next }
		/^# TYPE/ { type[$3] = $4 } !/^#/ { is[$1] = $NF }
		END { for (name in was) { split(name, family, "{"); base = family[1]
			if (type[base] == "" ) sub(/_(bucket|sum|count)$/, "", base)
			if (type[base] == "gauge") continue
			if (!(name in is) || is[name] + 0 < was[name] + 0) {
				print name, was[name], is[name]; bad = 1 } }
			exit bad }' "$1" "$2" >&2
}

@test "prometheus: counters never go back: over a worker's death, a reload, a server that leaves and comes back, an upgrade" {
	metrics_start
	expect_log 'was killed by signal 9'
	for _ in 1 2 3 4 5 6; do client "127.0.0.1:$front" echo 10k; done
	wait_until '[ "$(value proxyd_connections)" = 0 ]' 5
	scrape >metrics.0
	kill -KILL "$(worker_pid 0)"
	wait_until '[ "$(value "proxyd_worker_restarts_total{slot=\"0\"}")" = 1 ]' 5
	client "127.0.0.1:$front" echo 10k
	scrape >metrics.1
	never_less metrics.0 metrics.1
	cp proxyd.yaml whole.yaml
	sed -i "s/up: \"127.0.0.1:$up\", //" proxyd.yaml
	ctl reload
	assert_eq "$(value 'proxyd_server_connections_total{backend="app",server="up"}')" ""
	cp whole.yaml proxyd.yaml
	ctl reload
	wait_until '[ "$(value "proxyd_server_up{backend=\"app\",server=\"up\"}")" = 1 ]' 5
	scrape >metrics.2
	never_less metrics.1 metrics.2
	assert_eq "$(value 'proxyd_reloads_total{result="done"}')" 2
	ctl upgrade
	PROXYD_PID=$(ctl status --json | jq .pid)
	echo "$PROXYD_PID" >>pids
	wait_until 'curl -sf "$(url /healthz)"' 5
	scrape >metrics.3
	never_less metrics.2 metrics.3
	client "127.0.0.1:$front" echo 10k
	wait_until '[ "$(value "proxyd_frontend_connections_total{frontend=\"web\"}")" = 8 ]' 5
}

@test "prometheus: a name may hold what it likes; a thousand servers cost little time and memory" {
	local i before

	read -r ADMIN front <<<"$(free_port 2)"
	{
		echo "frontends: {'a.b:c@d-e': {bind: \"127.0.0.1:$front\", backend: app}}"
		echo 'backends:'
		echo '  app:'
		echo '    servers:'
		for i in $(seq 1000); do echo "      \"server[$i]/x#%~+\": \"127.0.0.1:1\""; done
	} >many.yaml
	start_proxyd -w 2 --admin "127.0.0.1:$ADMIN" <many.yaml
	wait_until 'curl -sf "$(url /healthz)"' 5
	scrape >metrics
	before=$(rss_kb "$(role_pids admin)")
	for _ in 1 2 3 4 5; do scrape >metrics; done
	run -0 bash -c "promtool check metrics <metrics"
	assert_eq "$(grep -c '^proxyd_server_up{' metrics)" 1000
	grep -qF 'proxyd_server_up{backend="app",server="server[7]/x#%~+"} 1' metrics
	# Nothing is left of a scrape; a sanitizer keeps what was freed for a while.
	[ -n "${SAN:-}" ] || [ "$(rss_kb "$(role_pids admin)")" -lt $((before + 4000)) ]
	# A client that reads nothing keeps nobody from being answered.
	spawn stuck socat -u "OPEN:/dev/null" "TCP:127.0.0.1:$ADMIN"
	spawn slow curl -s --limit-rate 1k -o /dev/null "$(url /metrics)"
	scrape >metrics.2
	assert_eq "$(grep -c '^proxyd_server_up{' metrics.2)" 1000
}

@test "prometheus: a real one scrapes us, and answers with our counters" {
	local prometheus

	metrics_start
	prometheus=$(free_port)
	cat >prometheus.yml <<-END
	global: {scrape_interval: 1s, scrape_timeout: 1s}
	scrape_configs:
	  - job_name: proxyd
	    static_configs: [{targets: ["127.0.0.1:$ADMIN"]}]
	END
	promtool check config prometheus.yml
	spawn prometheus prometheus --config.file=prometheus.yml --storage.tsdb.path=tsdb \
		--web.listen-address="127.0.0.1:$prometheus" --log.level=warn
	for _ in 1 2 3; do client "127.0.0.1:$front" echo 10k; done

	asked()
	{
		curl -sf -m 5 "http://127.0.0.1:$prometheus/api/v1/query" --data-urlencode "query=$1" |
			jq -e "$2" >/dev/null
	}
	wait_until 'asked "up{job=\"proxyd\"}" ".data.result[0].value[1] == \"1\""' 20
	wait_until 'asked "proxyd_frontend_connections_total{frontend=\"web\"}" ".data.result[0].value[1] == \"3\""' 5
	wait_until 'asked "sum(proxyd_bytes_total)" ".data.result[0].value[1] == \"61440\""' 5
	wait_until 'asked proxyd_server_up ".data.result | map(.value[1]) | sort == [\"0\", \"1\"]"' 5
	wait_until 'asked "histogram_quantile(0.99, proxyd_connect_seconds_bucket)" ".data.result[0].value[1] | tonumber < 10"' 5
}
