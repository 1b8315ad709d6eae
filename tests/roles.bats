#!/usr/bin/env bats
# Who may give which command. The commands are those that the daemon's own help has, so that a new one is among them.

# shellcheck disable=SC2154 # run sets stderr
load helpers/common

setup()
{
	common_setup
	[ "$(id -u)" = 0 ] || skip "only root can become others"
	mkdir -m 755 open
	chmod 755 "$BATS_TEST_TMPDIR" "$(dirname "$BATS_TEST_TMPDIR")" "$(dirname "$(dirname "$BATS_TEST_TMPDIR")")"
	# Where the workspace's own path is closed to others.
	cp "$PROXYD" "$BUILD/proxyctl" open/
	SOCKET=$PWD/open/control.sock
	front=$(free_port)
	owner=65533
	stranger=65534
	group=$(id -g daemon)
}

# as UID GROUP COMMAND...: "may" or "refused", by an option that no command has: that is looked at after the role, so nothing
# is done.
as()
{
	local answer

	answer=$(echo "${*:3} --no-such-option" |
		setpriv --reuid="$1" --regid="$1" --groups="$2" socat -t 10 - "UNIX-CONNECT:$SOCKET")
	case $answer in
	*"refused: you are uid $1"*) echo refused ;;
	*usage:*) echo may ;;
	*) echo "$answer" ;;
	esac
}

# table EXPECTED-OF-OWNER: every command with every role
table()
{
	local words role member n=0

	while IFS='|' read -r words role; do
		n=$((n + 1))
		member=refused
		[ "$role" = operator ] || member=may
		# shellcheck disable=SC2086 # words
		assert_eq "$words: $(as 0 0 $words) $(as "$owner" "$owner" $words) $(as "$stranger" "$group" $words) $(as "$stranger" "$stranger" $words)" \
			"$words: may $1 $member refused"
	done < <("$BUILD/proxyctl" -s "$SOCKET" --json help | jq -r '.[] | .command + "|" + .role')
	[ "$n" -ge 20 ]
}

@test "roles: root may all, a member of the group what reads, everybody else nothing, for every command" {
	expect_log 'refused to uid'
	PROXYD_CONTROL=$SOCKET start_proxyd <<-END
	global: {control: {mode: "0666", group: daemon}}
	frontends:
	  front: {bind: "127.0.0.1:$front", service: echo}
	END
	table refused
	# A stranger does not learn what there is.
	assert_eq "$(as "$stranger" "$stranger" no such command)" refused
	alive "$PROXYD_PID"
}

@test "roles: the user whom the daemon runs as may all, and so may root" {
	expect_log 'refused to uid'
	chmod 777 open
	PROXYD_CONTROL=$SOCKET PROXYD_WRAP="setpriv --reuid=$owner --regid=$owner --groups=$owner,$group" start_proxyd <<-END
	global: {control: {mode: "0666", group: daemon}}
	frontends:
	  front: {bind: "127.0.0.1:$front", service: echo}
	END
	table may
	alive "$PROXYD_PID"
}
