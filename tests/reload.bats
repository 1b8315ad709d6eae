#!/usr/bin/env bats
# Reload as an act: all or nothing, and the caller hears why; diff before it, confirm and rollback after it.

# shellcheck disable=SC2154 # run sets stderr
load helpers/common
load helpers/streams
load helpers/generations

# refused_as TEXT: reload exits 1 and says this, and nothing has changed.
refused_as()
{
	local pids number

	pids=$(pids_of worker)
	number=$(generation)
	run -1 --separate-stderr ctl reload
	grep -qE -- "$1" <<<"$stderr" || { echo "not said: $1, but: $stderr" >&2 && return 1; }
	assert_eq "$(generation)" "$number" "the generation"
	# Those that were being prepared are ended.
	wait_until "[ \"\$(pids_of worker)\" == '$pids' ]" 3
	shown status '.last_reload.result == "refused" and (.last_reload.message | length) > 0'
	grep -qE -- "$1" <<<"$(ctl --json status | jq -r .last_reload.message)"
	assert_eq "$(serving_number)" "${2:-1}"
}

@test "reload: the answer comes when the new generation serves" {
	generations_start 2
	configure 2 2
	ctl reload
	assert_eq "$(serving_number)" 2
	assert_eq "$(generation)" 2
	shown status '.last_reload.result == "done" and .last_reload.generation == 2 and (.last_reload.at | type) != "null"'
	shown show generations 'map(select(.state == "serving")) | length == 1 and .[0].generation == 2 and .[0].workers == 2'
	wait_until 'one_generation 2' 5
	stop_proxyd
}

@test "reload: with nothing changed nothing is replaced" {
	local pids

	generations_start 2
	pids=$(pids_of worker)
	ctl reload
	kill -HUP "$PROXYD_PID"
	{ cat proxyd.yaml && echo "# a comment is no change"; } >next.yaml && mv next.yaml proxyd.yaml
	ctl reload
	assert_eq "$(pids_of worker)" "$pids"
	assert_eq "$(generation)" 1
	wait_until 'one_generation 2' 2
}

@test "reload: a bad file keeps the old workers serving, and every error is said" {
	expect_log 'reload|proxyd.yaml'
	generations_start 2
	cat >proxyd.yaml <<-END
	frontends:
	  front: {bind: nowhere}
	  second: {bind: "$SECOND", backend: nobody}
	END
	refused_as 'proxyd.yaml:2:'
	[[ $stderr == *"proxyd.yaml:3:"* ]]
	kill -HUP "$PROXYD_PID"
	wait_log 'proxyd.yaml:3:' 3
	rm proxyd.yaml
	refused_as 'No such file'
	configure 2 2
	ctl reload
	assert_eq "$(serving_number)" 2
}

@test "reload: a port that is taken is said, and nothing of the new configuration stays" {
	local free

	expect_log 'reload|cannot bind'
	generations_start 2
	free=127.0.0.1:$(free_port)
	origin other "$SPARE" echo
	FRONTENDS="  fine: {bind: \"$free\", service: echo}
	  taken: {bind: \"$SPARE\", service: echo}" configure 2 2
	sed -i 's/^\t*  taken/  taken/' proxyd.yaml
	refused_as "cannot bind $SPARE: Address already in use"
	run -3 client "$free" connect
	kill "$ORIGIN_PID"
	wait_until "! alive $ORIGIN_PID" 3
	ctl reload
	assert_eq "$(serving_number)" 2
	client "$SPARE" echo 1k
	client "$free" echo 1k
}

@test "reload: workers that do not get ready in time leave the old ones untouched" {
	[ -z "${SAN:-}" ] || skip "the sanitizers' library has to be preloaded first"
	expect_log 'reload|ready|silent|killed'
	export STALL=proxyd-worker
	PROXYD_WRAP="env LD_PRELOAD=$HELPERS/spin.so" generations_start 2
	streams_start --idle 20 --chat 20
	touch stall
	configure 2 2
	refused_as 'ready'
	rm stall
	ctl reload
	assert_eq "$(serving_number)" 2
	wait_until 'one_generation 2' 5
	streams_finish
}

@test "reload: new workers that die leave the old ones untouched" {
	local at reload old pid

	expect_deaths
	expect_log 'reload'
	generations_start 2
	old=" $(pids_of worker | tr '\n' ' ')"
	streams_start --idle 20 --chat 20
	configure 2 2
	spawn reload "$BUILD/proxyctl" -s "$PWD/control.sock" reload
	reload=$SPAWNED_PID
	# Whichever of them is seen first dies; when the reload is faster than this, it is a worker that serves.
	at=$(now_ms)
	while alive "$reload" && [ $(($(now_ms) - at)) -lt 5000 ]; do
		for pid in $(pids_of worker); do
			[[ $old == *" $pid "* ]] || { kill -KILL "$pid" && break 2; }
		done
	done
	wait_until "! alive $reload" 20
	wait_until 'one_generation 2' 10
	assert_eq "$(serving_number)" "$(generation)"
	sleep 1.2
	streams_finish
}

@test "reload: signals during a reload are not lost, the last file serves" {
	local i

	generations_start 2
	for i in {2..9}; do
		configure $((i % 3 + 1)) "$i"
		kill -HUP "$PROXYD_PID"
		doze 40
	done
	wait_until '[ "$(serving_number)" = 9 ]' 10
	wait_until 'one_generation 1' 10
}

@test "reload: good and bad files in turn, ten a second: the last good one serves" {
	local i

	expect_log 'reload|proxyd.yaml'
	generations_start 2
	for i in {2..21}; do
		if [ $((i % 2)) -eq 0 ]; then configure 2 "$i"; else echo "frontends: 3" >proxyd.yaml; fi
		kill -HUP "$PROXYD_PID"
		sleep 0.1
	done
	configure 2 22
	kill -HUP "$PROXYD_PID"
	wait_until '[ "$(serving_number)" = 22 ]' 10
	wait_until 'one_generation 2' 10
}

@test "reload: a frontend that comes accepts, one that goes serves what it has and refuses the rest" {
	generations_start 2
	FRONTENDS="  guest: {bind: \"$SPARE\", service: echo}" configure 2 2
	run -3 client "$SPARE" connect
	ctl reload
	client "$SPARE" echo 10k
	FRONTENDS="  guest: {bind: \"$SPARE\", backend: back}" configure 2 3
	ctl reload
	streams_start --idle 10
	newcomers_start $((500 / SLOW)) "$SPARE"
	wait_until '[ "$(streams_say stats | jq .newcomers)" -gt 100 ]' 5
	configure 2 4
	ctl reload
	run -3 client "$SPARE" connect
	wait_until 'one_generation 2' 5
	# Whoever got in was served; who came between the last look and the close, of each socket, was turned away by a
	# reset instead of a refusal: where the kernel lets nobody but root filter SYNs, there is no other end.
	newcomers_stop but refused reset
	[ "$(jq .refused <<<"$NEWCOMERS_RESULT")" -gt 0 ]
	[ "$(jq .reset <<<"$NEWCOMERS_RESULT")" -le 4 ]
	# And it may come back.
	FRONTENDS="  guest: {bind: \"$SPARE\", service: echo}" configure 2 5
	ctl reload
	client "$SPARE" echo 10k
	streams_finish
}

@test "reload: servers come and go, and relays to those that stay are not disturbed" {
	local names

	generations_start 2
	origin added "$SPARE" answer added
	streams_start --idle 50 --chat 50
	SERVERS=", c: \"$SPARE\"" configure 2 2
	ctl reload
	names=$(ask_names "$SECOND" 8)
	[[ $names == *added* && $names == *streams* ]]
	shown show servers 'map(select(.backend == "changing") | .server) | sort == ["a", "c"]'
	configure 2 3
	ctl reload
	names=$(ask_names "$SECOND" 8)
	[[ $names != *added* ]]
	shown show servers 'map(select(.backend == "changing") | .server) == ["a"]'
	wait_until 'one_generation 2' 5
	streams_finish
}

@test "reload: health, administrative state and counters carry on" {
	local before

	generations_start 2
	expect_log 'changing/(a|dead|idle)'
	streams_start --idle 30
	SERVERS=", idle: \"$SPARE\", dead: \"$SPARE\"" configure 2 2
	sed -i 's/^  changing: {/&check: {type: tcp, inter: 200ms}, /' proxyd.yaml
	ctl reload
	wait_until 'shown show servers "map(select(.server == \"dead\") | .state) == [\"down\"]"' 5
	ctl set server changing/idle state maint
	ctl set server back/b weight 7
	ask_names "$SECOND" 10 >/dev/null
	before=$(ctl --json show servers | jq -c 'map(select(.server == "a" and .backend == "changing"))[0] | [.total, .last_change_s]')
	[ "$(jq '.[0]' <<<"$before")" -ge 10 ]
	sed -i 's/number 2/number 3/; s/workers: 2/workers: 3/' proxyd.yaml
	ctl reload
	# At once: nothing begins anew.
	shown show servers 'map(select(.server == "dead") | .state) == ["down"]'
	shown show servers 'map(select(.server == "idle") | [.state, .admin]) == [["maint", "maint"]]'
	shown show servers 'map(select(.backend == "back" and .server == "b") | .weight) == [7]'
	shown show servers "map(select(.server == \"a\" and .backend == \"changing\"))[0] | .total >= $(jq '.[0]' <<<"$before") and .state == \"up\""
	counts_agree 30
	assert_eq "$(ask_names "$SECOND" 4)" "streams streams streams streams"
	streams_finish
	nothing_left
}

# ---------------------------------------------------------------- diff, confirm, rollback

@test "diff: object by object, and what it would cost; nothing changes" {
	generations_start 2
	streams_start --idle 20
	FRONTENDS="  guest: {bind: \"$SPARE\", service: echo}" SERVERS=", c: \"$SPARE\"" configure 3 2
	run -0 ctl diff
	grep -iqE 'added.*guest|guest.*added' <<<"$output"
	grep -iqE 'added.*changing/c|changing/c.*added' <<<"$output"
	grep -iqE 'changed.*probe|probe.*changed' <<<"$output"
	grep -iqE 'workers' <<<"$output"
	run ! grep -E 'front\b.*(added|removed|changed)' <<<"$output"
	# Another file; the frontend that all relays came by is gone.
	sed '/^  front:/d; /guest/d' proxyd.yaml >other.yaml
	run -0 ctl diff other.yaml
	grep -iqE 'removed.*front|front.*removed' <<<"$output"
	grep -qw 20 <<<"$output"
	assert_eq "$(generation)" 1
	assert_eq "$(serving_number)" 1
	# One that is bad is refused as a reload would.
	echo "frontends: 3" >bad.yaml
	run -1 ctl diff bad.yaml
	configuration 2 1 >proxyd.yaml
	run -0 ctl diff
	run ! grep -iE 'added|removed|changed' <<<"$output"
	streams_finish
}

@test "reload --confirm: goes back by itself, with nobody disturbed" {
	expect_log 'confirm|rollback|previous'
	generations_start 2
	streams_start --idle 50 --chat 50
	newcomers_start $((200 / SLOW))
	configure 3 2
	ctl reload --confirm 1s
	assert_eq "$(serving_number)" 2
	wait_until '[ "$(serving_number)" = 1 ]' 4
	wait_until 'one_generation 2' 5
	newcomers_stop
	streams_finish
}

@test "reload --confirm: confirmed in time it stays" {
	generations_start 2
	configure 2 2
	ctl reload --confirm 1s
	ctl confirm
	sleep 1.5
	assert_eq "$(serving_number)" 2
	run -1 ctl confirm
}

@test "rollback: back to the previous configuration at once" {
	expect_log 'rollback|previous'
	generations_start 2
	run -1 ctl rollback
	configure 3 2
	ctl reload --confirm 60s
	assert_eq "$(serving_number)" 2
	ctl rollback
	assert_eq "$(serving_number)" 1
	wait_until 'one_generation 2' 5
}

# holding N ADDRESS: so many clients are there, and stay.
holding()
{
	local before

	before=$(ctl --json show sessions | jq length)
	spawn "held$2" "$HELPERS/client" "$2" hold "$1" 60
	wait_until "[ \"\$(ctl --json show sessions | jq length)\" -eq $((before + $1)) ]" 5
}

@test "diff: what it says would drain is what drains" {
	local guest stays

	expect_log 'changing/[ab]: is not chosen'
	guest=127.0.0.1:$(free_port) stays=127.0.0.1:$(free_port)
	FRONTENDS="  guest: {bind: \"$guest\", service: echo}
  stays: {bind: \"$stays\", service: echo}" generations_start 2
	origin origin "$SPARE" echo
	FRONTENDS="  guest: {bind: \"$guest\", service: echo}
  stays: {bind: \"$stays\", service: echo}" SERVERS=", c: \"$SPARE\"" configure 2 1
	ctl reload
	holding 17 "$guest"
	holding 11 "$SECOND"
	holding 5 "$stays"
	FRONTENDS="  stays: {bind: \"$stays\", service: echo}" configure 2 2
	assert_eq "$(ctl --json diff | jq 'map(.drains) | add')" 28
	ctl reload
	wait_until "shown show generations 'map(select(.state != \"serving\") | .active) | add == 28'" 5
	shown show generations 'map(select(.state == "serving") | .active) | add == 5'
}

@test "reload: when all places for workers are taken the oldest generation makes room, and no other" {
	local one two

	[ -z "${SAN:-}" ] || skip "three generations of 64 workers are too many with sanitizers"
	expect_log 'no places for 64 more workers: the oldest generation is ended|drain_timeout ran out'
	one=127.0.0.1:$(free_port) two=127.0.0.1:$(free_port)
	FRONTENDS="  guest: {bind: \"$one\", service: echo}" DRAIN=10m generations_start 64
	holding 500 "$one"
	FRONTENDS="  other: {bind: \"$two\", service: echo}" DRAIN=10m configure 64 2
	ctl reload
	holding 500 "$two"
	DRAIN=10m configure 64 3
	ctl reload
	shown show sessions 'length == 1000'
	DRAIN=10m configure 64 4
	ctl reload
	assert_eq "$(serving_number)" 4
	wait_until "shown show sessions 'map(.frontend) | length == 500'" 5
	wait_until "shown show generations 'map(.generation) == [2, 4]'" 5
	kill "$SPAWNED_PID"
	wait_until "shown show generations 'map(.generation) == [4]'" 10
}
