#!/usr/bin/env bats
# The configuration as users meet it: proxyd -t and -T. What exactly every file gives is in conf/ok/*.out and
# conf/bad/*.err, which unit/conf_test compares as well.

# shellcheck disable=SC2154 # run sets stderr and stderr_lines
bats_require_minimum_version 1.5.0

PROXYD=${PROXYD:-$BATS_TEST_DIRNAME/../build/proxyd}

# options FILE: the predecessor's file cannot say how many workers, and the answer must not depend on the machine
options()
{
	case $1 in
	apps*) echo "-w 2" ;;
	esac
}

# same FILE FILE: or show how they differ
same()
{
	diff -u "$1" "$2" || return 1
}

@test "conf: every good file is normalised as it should be" {
	cd "$BATS_TEST_DIRNAME/conf/ok"
	for file in *.yaml *.json; do
		# shellcheck disable=SC2046 # none, or two words
		"$PROXYD" -T $(options "$file") -c "$file" >"$BATS_TEST_TMPDIR/out"
		same "${file%.*}.out" "$BATS_TEST_TMPDIR/out"
	done
}

@test "conf: what -T prints is read as the same configuration" {
	cd "$BATS_TEST_DIRNAME/conf/ok"
	for file in *.out; do
		"$PROXYD" -T -c "$file" >"$BATS_TEST_TMPDIR/out"
		same "$file" "$BATS_TEST_TMPDIR/out"
	done
}

@test "conf: -t takes every good file" {
	cd "$BATS_TEST_DIRNAME/conf/ok"
	for file in *.yaml *.json; do
		"$PROXYD" -t -c "$file"
	done
}

@test "conf: every error of a bad file is said in one go, with exit code 2" {
	cd "$BATS_TEST_DIRNAME/conf/bad"
	for file in *.yaml *.json; do
		for option in -t -T; do
			run -2 --separate-stderr "$PROXYD" "$option" -c "$file"
			[ -z "$output" ]
			printf '%s\n' "$stderr" >"$BATS_TEST_TMPDIR/err"
			same "${file%.*}.err" "$BATS_TEST_TMPDIR/err"
		done
	done
}

@test "conf: a bad file does not start" {
	run -2 --separate-stderr "$PROXYD" -c "$BATS_TEST_DIRNAME/conf/bad/nothing_to_do.yaml"
	[[ $stderr == *"there is nothing to do"* ]]
}

@test "conf: - is standard input" {
	run -0 "$PROXYD" -t -c - <"$BATS_TEST_DIRNAME/conf/ok/smallest.yaml"
	run -2 --separate-stderr "$PROXYD" -t -c - <"$BATS_TEST_DIRNAME/conf/bad/spans.yaml"
	[[ ${stderr_lines[0]} == "standard input:1:25: "* ]]
}

@test "conf: a file that is none is one clear line" {
	cd "$BATS_TEST_TMPDIR"
	mkfifo fifo
	mkdir directory
	run -2 --separate-stderr timeout 5 "$PROXYD" -t -c fifo
	[ "$stderr" = "fifo: is not a regular file (\`-\` reads standard input)" ]
	run -2 --separate-stderr "$PROXYD" -t -c directory
	[ "$stderr" = "directory: is a directory, not a file" ]
	run -2 --separate-stderr "$PROXYD" -t -c nothing.yaml
	[ "$stderr" = "nothing.yaml: No such file or directory" ]
}

@test "conf: an unreadable file is one clear line" {
	cd "$BATS_TEST_TMPDIR"
	cp "$BATS_TEST_DIRNAME/conf/ok/smallest.yaml" secret.yaml
	chmod 0 secret.yaml
	if [ -r secret.yaml ]; then
		skip "root reads everything"
	fi
	run -2 --separate-stderr "$PROXYD" -t -c secret.yaml
	[ "$stderr" = "secret.yaml: Permission denied" ]
}

@test "conf: the command line is applied over the file and checked like it" {
	file=$BATS_TEST_DIRNAME/conf/ok/smallest.yaml
	run -0 "$PROXYD" -T -w 7 --loglevel 3 --logformat json --pidfile /run/x -c "$file"
	[[ $output == *"workers: 7"* ]]
	[[ $output == *"level: error"* ]]
	[[ $output == *"format: json"* ]]
	[[ $output == *"pidfile: /run/x"* ]]
	run -2 --separate-stderr "$PROXYD" -t -w 99 -c "$file"
	[ "$stderr" = "command line: --workers: \`workers\` is 1 to 64 or auto, not \`99\`" ]
}

@test "conf: every shipped example loads" {
	for file in "$BATS_TEST_DIRNAME"/../conf/examples/*; do
		"$PROXYD" -t -c "$file"
	done
}

@test "conf: 10,000 servers load in under a second of CPU" {
	{
		echo "frontends: {a: {bind: ':80', backend: b}}"
		echo "backends:"
		echo "  b:"
		echo "    servers:"
		seq -f '      s%.0f: 127.0.0.1:80' 10000
	} >"$BATS_TEST_TMPDIR/many.yaml"
	TIMEFORMAT='%3U %3S'
	{ time "$PROXYD" -t -c "$BATS_TEST_TMPDIR/many.yaml"; } 2>"$BATS_TEST_TMPDIR/took"
	took_ms=$(awk '{ print ($1 + $2) * 1000 }' "$BATS_TEST_TMPDIR/took")
	echo "$took_ms ms"
	[ "$took_ms" -lt $((${SAN:+5}000 + 1000)) ]
}
