#!/usr/bin/env bats
# postgresql behind proxyd, with pgbench. One server for all tests here; it does not run as root.

load ../helpers/common

setup_file()
{
	PG_DIR=$(mktemp -d /tmp/proxyd-pg.XXXXXX)
	PG_PORT=$(free_port)
	PATH=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -n 1):$PATH
	export PG_DIR PG_PORT PATH
	export PGUSER=tester PGDATABASE=postgres PGHOST=127.0.0.1
	as=()
	if [ "$(id -u)" = 0 ]; then
		chown postgres "$PG_DIR"
		as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
	fi
	cd "$PG_DIR" || return 1
	"${as[@]}" initdb -D "$PG_DIR/data" -U tester -A trust -N --no-instructions >initdb.out 2>&1
	"${as[@]}" postgres -D "$PG_DIR/data" -p "$PG_PORT" -h 127.0.0.1 -k "$PG_DIR" \
		-c fsync=off -c max_connections=60 >postgres.out 2>&1 </dev/null 3>&- &
	echo $! >postgres.pid
	wait_until 'pg_isready -q -p "$PG_PORT"' 20
	pgbench -q -i -s 1 -p "$PG_PORT" >pgbench-i.out 2>&1
}

teardown_file()
{
	local pid
	pid=$(cat "$PG_DIR/postgres.pid")
	kill -INT "$pid"
	wait_until '! alive "$pid"' 5 || kill -KILL "$pid"
	rm -rf "$PG_DIR"
}

setup()
{
	common_setup
	front=$(free_port)
	start_proxyd <<-END
	global: {workers: 2}
	frontends:
	  pg: {bind: ["127.0.0.1:$front", "unix:$PWD/.s.PGSQL.$front"], forward: ["127.0.0.1:$PG_PORT"]}
	END
}

# bench OPTION...: no transaction may fail
bench()
{
	pgbench -n -p "$front" "$@" >bench.out 2>&1 || { cat bench.out >&2 && return 1; }
	cat bench.out
	grep -q 'number of failed transactions: 0 ' bench.out
	! grep -iE 'error|fatal|aborted' bench.out
}

@test "postgres: pgbench with 8 kept connections" {
	bench -c 8 -j 2 -T 3
}

@test "postgres: pgbench with prepared statements, select only" {
	bench -c 8 -j 2 -T 2 -S -M prepared
}

@test "postgres: pgbench with a connection for each transaction" {
	bench -c 4 -j 2 -T 3 -C -S
}

@test "postgres: a large result and a large COPY come through unchanged" {
	psql -q -p "$front" -c 'create table big (n int, t text)'
	seq 1 200000 | sed 's/.*/&\tthis is line & of the file/' >rows
	psql -q -p "$front" -c '\copy big from rows'
	psql -q -p "$front" -c '\copy (select * from big order by n) to back'
	cmp rows back
	psql -q -p "$front" -c 'drop table big'
}

@test "postgres: through a Unix socket of proxyd's" {
	assert_eq "$(psql -h "$PWD" -p "$front" -Atc 'select 41 + 1')" 42
}

@test "postgres: a query is cancelled, which takes a second connection" {
	local start
	start=$(now_ms)
	timeout -s INT 1 psql -p "$front" -c 'select pg_sleep(30)' || true
	assert_between $(($(now_ms) - start)) 900 5000 "ms until psql was back"
}
