#!/usr/bin/env bats
# The command line: what it takes, what it refuses, how it exits.
# shellcheck disable=SC2154 # stderr and stderr_lines are what run --separate-stderr sets

load helpers/common

# refuses WHAT OPTION...: exit 2 and exactly one line on stderr that says WHAT and where help is.
refuses()
{
	local what=$1
	shift

	run -2 --separate-stderr "$PROXYD" "$@"
	assert_eq "$output" "" "nothing on stdout"
	assert_eq "${#stderr_lines[@]}" 1 "one line on stderr: $stderr"
	[[ $stderr == *"$what"* ]] || { echo "not said: $what, but $stderr" >&2 && return 1; }
	# shellcheck disable=SC2016
	[[ $stderr == *'`proxyd --help`'* ]]
}

write_config()
{
	cat >ok.yaml <<-END
	frontends:
	  web: {bind: "127.0.0.1:1", forward: ["127.0.0.1:2"]}
	END
}

@test "options: help is on stdout, exit 0, and names every option" {
	local option

	run -0 --separate-stderr "$PROXYD" --help
	assert_eq "$stderr" ""
	for option in -c --config -t -T -f -p --listen --forward --protocol --balance --demo -w --workers \
		--loglevel --logformat --control --admin --pidfile -D --daemon -V --version -h --help; do
		grep -qE -- "(^|[^-a-z])$option([^a-z]|$)" <<<"$output" || { echo "no $option" >&2 && false; }
	done
	run -0 "$PROXYD" -h
	run -0 "$PROXYD" -help
}

@test "options: the version names libevent, libyaml and OpenSSL" {
	run -0 "$PROXYD" --version
	[[ $output =~ ^proxyd\ [0-9.]+\ \(libevent\ [0-9].*libyaml\ [0-9].*OpenSSL\ [0-9].*\)$ ]]
	run -0 "$PROXYD" -V
}

@test "options: an unknown option is said in one line, exit 2" {
	refuses "unknown option --nope" --nope
	refuses "unknown option -x" -x
	refuses "unexpected argument :6060" -pprof :6060
	refuses "it is true or false" -pprof=:6060
	refuses "unexpected argument foo" foo
}

@test "options: an abbreviated name is not guessed" {
	refuses "unknown option --conf" --conf ok.yaml
}

@test "options: a missing and a superfluous value are said" {
	refuses "--config needs a value" --config
	refuses "--daemon=1: the option takes no value" --daemon=1
}

@test "options: contradictory ones are refused" {
	refuses "exclude each other" -c ok.yaml --demo
	refuses "exclude each other" -c ok.yaml -f 8080 -p 8101
	refuses "exclude each other" -f 8080 -p 8101 --listen :1 --forward :2
	refuses "go with --listen" --balance random
	refuses "needs -f PORT" -p 8101
	refuses "needs --listen ADDR" --forward localhost:1
	refuses "given twice" -c a -c b
	refuses "--daemon does not go with" --demo -D
	refuses "--protocol foo is not known" --protocol foo --listen :1 --forward localhost:2
}

@test "options: a port is a number from 1 to 65535" {
	refuses "a port is" -f 0 -p 1
	refuses "a port is" -f 1 -p 65536
	refuses "a port is" -f 80x -p 1
	refuses "a port is" -f 1 -p ''
}

@test "options: -f without -p shows the usage, exit 2" {
	run -2 --separate-stderr "$PROXYD" -f 8080
	assert_eq "$output" ""
	[[ ${stderr_lines[0]} == *"-f needs at least one -p PORT"* ]]
	grep -q -- '--demo' <<<"$stderr"
}

@test "options: -t says ok on a good file, and nothing else" {
	write_config
	run -0 --separate-stderr "$PROXYD" -t -c ok.yaml
	assert_eq "$output" "ok.yaml: ok"
	assert_eq "$stderr" ""
	run -0 "$PROXYD" -t -config=ok.yaml
	run -0 "$PROXYD" -t --config ok.yaml
}

@test "options: -t finds every error, on stderr, exit 2" {
	printf 'frontends:\n  web: {bidn: ":1", forward: ["127.0.0.1:2"]}\nbackend: {}\n' >bad.yaml
	run -2 --separate-stderr "$PROXYD" -t -c bad.yaml
	assert_eq "$output" ""
	grep -q '^bad.yaml:2:.*bidn.*bind' <<<"$stderr"
	grep -q '^bad.yaml:3:.*backend' <<<"$stderr"
}

@test "options: the configuration may come from stdin" {
	write_config
	run -0 bash -c '"$1" -t -c - <ok.yaml' - "$PROXYD"
}

@test "options: a configuration that cannot be read is one line, exit 2" {
	run -2 --separate-stderr "$PROXYD" -c missing.yaml
	assert_eq "${#stderr_lines[@]}" 1
	[[ $stderr == "missing.yaml: No such file or directory"* ]]
	run -2 --separate-stderr "$PROXYD" -c /
	assert_eq "${#stderr_lines[@]}" 1
}

@test "options: without arguments and without the default file, it says what can be done" {
	[ ! -e /etc/proxyd/proxyd.yaml ] || skip "/etc/proxyd/proxyd.yaml exists"
	refuses /etc/proxyd/proxyd.yaml
	[[ $stderr == *--demo* && $stderr == *-f* ]]
}

@test "options: -T prints YAML that loads to the same" {
	write_config
	"$PROXYD" -T -c ok.yaml >once.yaml
	"$PROXYD" -T -c once.yaml >twice.yaml
	cmp once.yaml twice.yaml
	"$PROXYD" -T -listen=:8002 -forward=localhost:8001 >quick.yaml
	"$PROXYD" -t -c quick.yaml
}

@test "options: a full disk is an error" {
	write_config
	run -1 bash -c '"$1" -T -c ok.yaml >/dev/full' - "$PROXYD"
}

@test "options: the command line goes over the file" {
	write_config
	run -0 "$PROXYD" -T -c ok.yaml -w 3 --loglevel debug --logformat json --pidfile /run/x.pid
	grep -q 'workers: 3' <<<"$output"
	grep -q 'level: debug' <<<"$output"
	grep -q 'format: json' <<<"$output"
	grep -q 'pidfile: .*/run/x.pid' <<<"$output"
	run -2 "$PROXYD" -t -c ok.yaml -w 99
	run -2 "$PROXYD" -t -c ok.yaml --loglevel loud
}

@test "options: the quick form with ports balances in turn over localhost" {
	local front back

	front=$(free_port)
	read -r -a back <<<"$(free_port 3)"
	for i in 0 1 2; do
		origin "origin$i" "127.0.0.1:${back[i]}" answer "server$i"
	done
	start_proxyd -f "$front" -p "${back[0]}" -p "${back[1]}" -p "${back[2]}" </dev/null
	wait_until "listening $front" 5
	local names
	names=$(ask_names "127.0.0.1:$front" 6)
	# The look above took a turn of its own.
	[[ "$names $names" == *"server0 server1 server2 server0 server1 server2"* ]]
	client "[::1]:$front" ask hello
	stop_proxyd
}

@test "options: the predecessor's -listen and -forward work" {
	local front back

	front=$(free_port)
	back=$(free_port)
	origin origin "127.0.0.1:$back" echo
	start_proxyd "-listen=:$front" "-forward=localhost:$back" -loglevel 1 </dev/null
	client "127.0.0.1:$front" echo 10k
	stop_proxyd
}

@test "options: the demo serves what it prints, and Ctrl-C ends it" {
	local web

	spawn_proxyd --demo -w 2 </dev/null
	wait_until "grep -q Ctrl-C proxyd.out" 5
	web=$(sed -n 's/^ *web *127.0.0.1:\([0-9]*\).*/\1/p' proxyd.out)
	for i in 1 2 3 4 5 6; do
		curl -s "http://127.0.0.1:$web/" | sed 's/Hello from server \([a-z]*\),.*/\1/' >>said
	done
	assert_eq "$(tr '\n' ' ' <said)" "one two three one two three "
	echo stressed | socat -t 2 - "TCP:127.0.0.1:$(sed -n 's/^ *reverse *127.0.0.1:\([0-9]*\).*/\1/p' proxyd.out)" >reversed
	assert_eq "$(tr -d '\n' <reversed)" desserts
	echo hello | socat -t 2 - "TCP:127.0.0.1:$(sed -n 's/^ *echo *127.0.0.1:\([0-9]*\).*/\1/p' proxyd.out)" >echoed
	assert_eq "$(cat echoed)" hello
	stop_proxyd INT
}

@test "options: a second demo takes the next free ports" {
	local first second

	spawn_proxyd --demo -w 1 </dev/null
	wait_until "grep -q Ctrl-C proxyd.out" 5
	mv proxyd.out first.out
	PROXYD_CONTROL=second.sock spawn_proxyd --demo -w 1 </dev/null
	wait_until "grep -q Ctrl-C proxyd.out" 5
	first=$(sed -n 's/^ *web *\([^ ]*\).*/\1/p' first.out)
	second=$(sed -n 's/^ *web *\([^ ]*\).*/\1/p' proxyd.out)
	[ "$first" != "$second" ]
	curl -sf "http://$second/"
	stop_proxyd INT
}
