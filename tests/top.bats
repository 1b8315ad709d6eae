#!/usr/bin/env bats
# proxyctl top on a terminal of tmux: what it shows, its keys, its sizes, and a daemon that comes and goes.

load helpers/common
load helpers/screen

setup()
{
	common_setup
	screen_setup
	read -r front echo back dead <<<"$(free_port 4)"
}

teardown()
{
	screen_teardown
	common_teardown
}

# Two frontends, four servers: up, up, down and drained.
serving()
{
	[ -e origin.out ] || origin origin "127.0.0.1:$back" greet hello
	expect_log 'back/dead'
	expect_log 'closed'
	start_proxyd <<-END
	global: {workers: 2}
	frontends:
	  front: {bind: "127.0.0.1:$front", backend: back}
	  echo: {bind: "127.0.0.1:$echo", service: echo}
	backends:
	  back:
	    balance: first
	    check: {type: tcp, inter: 200ms}
	    servers: {dead: "127.0.0.1:$dead", alive: "127.0.0.1:$back", other: "127.0.0.1:$back", out: {address: "127.0.0.1:$back", state: drain}}
	END
	wait_until 'ctl --json show servers | jq -e "map(.state) == [\"down\", \"up\", \"up\", \"drain\"]"' 5
}

# screen COLUMNS ROWS [OPTION]...: top there, and what comes after it.
screen()
{
	open_screen "$1" "$2" \
		"${ENV:-env} $PROXYCTL -s $SOCKET --watch 0.2 top ${*:3}; echo \"over \$?\"; exec sleep 60"
	wait_until 'shown "h help  q quit"' 5
}

# The names of the servers, from the top.
servers()
{
	look | sed -n '/^SERVER/,/^WORKER/p' | grep -oE '^[a-z]+/[^ ]+' | xargs
}

state_of()
{
	ctl --json show servers | jq -r --arg name "$1" '.[] | select(.server == $name).state'
}

@test "top: head, frontends, servers with their states, and workers, in 80x24" {
	serving
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 3 30
	screen 80 24
	wait_until 'shown "^connections 3 now  3 in all "' 5
	shown "^proxyd [0-9.]+  serving  up [0-9]+s  generation 1  workers 2 +every 0.2s  [0-9:]{8}$"
	shown '^last reload none|  last reload none$'
	shown '^FRONTEND +ACTIVE' && shown '^front +3 ' && shown '^echo +0 '
	shown '^back/dead +down ' && shown '^back/alive +up .* 3 ' && shown '^back/out +drain '
	shown '^WORKER' && shown '^0 +serving +[0-9]+ ' && shown '^1 +serving '
	# Each connection is somebody's.
	assert_eq "$(look | grep -oE '^[01] +serving.*[0-9]+%' | grep -oE '[0-9]+%' | tr -d % | awk '{ n += $1 } END { print n }')" 100
	shown '\|\|+ '
	assert_eq "$(look | awk 'length > 80' | wc -l)" 0
}

@test "top: rates, bytes and times under load" {
	# shellcheck disable=SC2034 # the conditions'
	local rate='[0-9.]+k?' time='[0-9.]+(us|ms|s)'
	serving
	spawn load "$HELPERS/client" "127.0.0.1:$echo" rate 50 30
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 5 30
	# One that has ended, so that there is a time.
	client "127.0.0.1:$echo" echo 10k
	screen 100 24
	# One second is a second: what was before it is not in it.
	wait_until 'shown "^echo +[0-9]+ +[1-9][0-9.]+ +$rate +$rate +[1-9][0-9]* +[1-9][0-9]* .* $time +$time$"' 10
	wait_until 'shown "^back/alive +up +$rate +$rate +$rate +[0-9]+ +[0-9]+ +5 +0 +- +$time +$time "' 10
	shown '^connections [0-9]+ now .* in [1-9][0-9]*/s  out [1-9][0-9]*/s$'
	shown '^[01] +serving .*[|]+ +[0-9]+% +[0-9.]+ '
	keys R
	wait_until 'shown "by 1S/s$"' 5
}

@test "top: a server that goes down is shown so, and what is said of reloads" {
	serving
	screen 80 24
	wait_until 'shown "^back/alive +up "' 5
	kill "$ORIGIN_PID"
	expect_log 'back/(alive|other|out)'
	wait_until 'shown "^back/alive +down "' 10
	ctl reload
	wait_until 'shown "last reload 20.*unchanged"' 5
}

@test "top: rows are sorted by the column that is chosen, and reversed" {
	serving
	screen 80 24
	wait_until '[ "$(servers)" = "back/dead back/alive back/other back/out" ]' 5
	keys N
	wait_until '[ "$(servers)" = "back/alive back/dead back/other back/out" ]' 5
	shown '^4 of 4 servers by SERVER$'
	keys r
	wait_until '[ "$(servers)" = "back/out back/other back/dead back/alive" ]' 5
	shown 'by SERVER reversed$'
	keys '>'
	wait_until '[ "$(servers)" = "back/dead back/out back/alive back/other" ]' 5
	shown 'by STATE$'
	spawn held "$HELPERS/client" "127.0.0.1:$front" hold 2 30
	keys A
	wait_until 'servers | grep -q ^back/alive' 5
	keys '<' '<' '<' '<' '<' '<' '<' '<'
	wait_until 'shown "by configuration"' 5
	# Of the pane in front only.
	keys f N r
	wait_until 'shown "2 of 2 frontends by FRONTEND reversed"' 5
	[ "$(look | grep -nE '^front ' | cut -d: -f1)" -lt "$(look | grep -nE '^echo ' | cut -d: -f1)" ]
	keys Tab
	wait_until 'shown "servers by configuration"' 5
	keys w
	wait_until 'shown "2 of 2 workers by configuration"' 5
}

@test "top: / shows only what has a text, esc shows all" {
	serving
	screen 80 24
	keys /
	keys al
	wait_until 'shown "^filter: al_"' 5
	wait_until '[ "$(servers)" = back/alive ]' 5
	keys Enter
	wait_until 'shown "^1 of 4 servers by configuration  filter: al$"' 5
	keys / BSpace BSpace
	type_text dra
	keys Enter
	wait_until '[ "$(servers)" = back/out ]' 5
	# Letters were no keys: nobody was drained, nothing is asked.
	[ "$(state_of alive)" = up ]
	keys Escape
	wait_until '[ "$(servers)" = "back/dead back/alive back/other back/out" ]' 5
}

@test "top: d drains the selected server when it is confirmed, and only then; e brings it back" {
	serving
	screen 80 24
	wait_until 'shown "^back/alive +up "' 5
	keys j
	keys d
	wait_until 'shown "^back/alive: drain\? .*\(y/n\)$"' 5
	keys n
	wait_until 'shown "^nothing was done$"' 5
	assert_eq "$(state_of alive)" up
	keys d
	wait_until 'shown "back/alive: drain\?"' 5
	# Whoever is sorted into its place meanwhile: it was asked for this one.
	keys y
	wait_until '[ "$(state_of alive)" = drain ]' 5
	wait_until 'shown "^back/alive +drain "' 5
	shown 'back/alive.*drain$'
	keys e
	wait_until '[ "$(state_of alive)" = up ]' 5
	keys m
	wait_until 'shown "^back/alive: maint\?"' 5
	keys Enter
	wait_until 'shown "^nothing was done$"' 5
	keys m
	wait_until 'shown "^back/alive: maint\?"' 5
	keys y
	wait_until 'shown "^back/alive +maint "' 5
	keys f d
	wait_until 'shown "that is for a server"' 5
	assert_eq "$(ctl --json show servers | jq -c 'map(.state)')" '["down","maint","up","drain"]'
}

@test "top: help, pause and interval" {
	serving
	screen 80 24
	keys '?'
	wait_until 'shown "drain the selected server"' 5
	keys x
	wait_until 'shown "^back/alive +up "' 5
	keys +
	wait_until 'shown "every 0.5s"' 5
	keys - -
	wait_until 'shown "every 0.2s"' 5
	keys Space
	wait_until 'shown "PAUSED"' 5
	ctl set server back/alive state maint
	# Keys are heard, the data stands still.
	keys N
	wait_until 'shown "by SERVER"' 5
	shown '^back/alive +up '
	keys Space
	wait_until 'shown "^back/alive +maint "' 5
}

@test "top: fits every size, also while it changes" {
	serving
	screen 200 60
	wait_until 'shown "WEIGHT +SINCE$"' 5
	shown '^back/alive +up .* [0-9]+s$'
	resize_screen 60 12
	wait_until 'shown "^back/dead +down"' 5
	wait_until '! shown "^WORKER"' 5
	shown '^SERVER' && run ! shown 'WEIGHT'
	resize_screen 30 5
	wait_until 'shown "30x5 is too small"' 5
	resize_screen 100 30
	wait_until 'shown "^WORKER"' 5
	shown 'h help  q quit'
	assert_eq "$(look | awk 'length > 100' | wc -l)" 0
}

@test "top: colours where there are some, and none elsewhere" {
	local red=$'\033\\[[0-9;]*31m' color=$'\033\\[([0-9]+;)*3[1-6]m'
	serving
	ENV="env TERM=screen-256color" screen 80 24
	wait_until "look -e | grep -q '$red.*down'" 5
	for ENV in "env TERM=vt100" "env NO_COLOR=1 TERM=screen-256color"; do
		screen 80 24
		wait_until 'shown "^back/dead +down "' 5
		look -e | grep -q $'\033\\[[0-9;]*7m'
		run ! grep -qE "$color" <(look -e)
	done
	unset ENV
	screen 80 24 --color=never
	wait_until 'shown "^back/dead +down "' 5
	run ! grep -qE "$color" <(look -e)
}

@test "top: a thousand servers" {
	local i
	{
		echo "global: {workers: 1}"
		echo "frontends: {front: {bind: \"127.0.0.1:$front\", backend: back}}"
		echo "backends: {back: {servers: {"
		for ((i = 1; i <= 1000; i++)); do
			echo "s$i: \"127.0.0.1:$back\","
		done
		echo "}}}"
	} | start_proxyd
	screen 80 24
	wait_until 'shown "^1000 of 1000 servers"' 10
	shown '^back/s1 '
	keys End
	wait_until 'shown "^back/s1000 "' 5
	run ! shown '^back/s1 '
	keys PPage PPage
	wait_until '! shown "^back/s1000 "' 5
	keys Home
	wait_until 'shown "^back/s1 "' 5
	keys N r
	wait_until 'shown "^back/s1000 "' 5
	keys /
	type_text s77
	keys Enter
	wait_until 'shown "^11 of 1000 servers"' 5
	wait_until '[ "$(servers | cut -d" " -f1)" = back/s779 ]' 5
}

@test "top: a daemon that stands still holds no key up, and one that comes back is seen" {
	serving
	screen 80 24
	wait_until 'shown "^back/alive +up "' 5
	kill -STOP "$PROXYD_PID"
	keys N
	wait_until 'shown "by SERVER"' 2
	wait_until 'shown "NO ANSWER for .*silent"' 10
	keys '?'
	wait_until 'shown "drain the selected server"' 2
	keys x
	kill -CONT "$PROXYD_PID"
	wait_until 'shown "by SERVER$"' 5
	stop_proxyd
	wait_until 'shown "^NO ANSWER for [0-9]+s, trying again: Connection refused on|again: No such file or directory on"' 5
	shown '^back/alive +up '
	serving
	wait_until 'shown "by SERVER$"' 5
	# Another binary takes over.
	ctl upgrade
	wait_until 'shown "  generation 2  "' 10
	shown '^back/alive +up '
}

@test "top: q and Ctrl-C give the terminal back; without a terminal or a daemon there is none" {
	local end
	open_screen 80 24 "$PROXYCTL -s $SOCKET top; echo \"over \$?\"; exec sleep 60"
	wait_until 'shown "^over 3$"' 5
	shown 'is proxyd running'
	serving
	run -2 ctl top </dev/null
	[[ $output == *"top is for a terminal"* ]]
	for end in q C-c; do
		screen 80 24
		keys "$end"
		wait_until 'shown "^over 0$"' 5
		run ! shown '^SERVER'
	done
}
