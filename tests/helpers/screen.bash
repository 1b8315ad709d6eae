# shellcheck shell=bash
# A terminal of tmux that a suite can type into and look at: load it after common. screen_setup and screen_teardown
# belong into the suite's setup and teardown.

screen_setup()
{
	unset COLUMNS LINES NO_COLOR
	TMUX_TMPDIR=$(mktemp -d) && export TMUX_TMPDIR
	screens=0
}

screen_teardown()
{
	while [ "$screens" -gt 0 ]; do
		screen_tmux kill-server 2>/dev/null || true
		screens=$((screens - 1))
	done
	rm -rf "$TMUX_TMPDIR"
}

# The newest terminal's. Each has a server of its own: one that ends may still be there when the next is asked for.
screen_tmux()
{
	tmux -L "screen$screens" "$@"
}

# open_screen COLUMNS ROWS COMMAND: a terminal of that size in which the command (for sh) runs.
open_screen()
{
	screens=$((screens + 1))
	screen_tmux -f /dev/null new-session -d -x "$1" -y "$2" "$3"
}

resize_screen()
{
	screen_tmux resize-window -x "$1" -y "$2"
}

# What is to be seen on it; with -e the sequences for colours, too.
# shellcheck disable=SC2120 # its callers are elsewhere
look()
{
	screen_tmux capture-pane -p "$@"
}

# Whether a line matches.
shown()
{
	# shellcheck disable=SC2119
	look | grep -qE -- "$1"
}

# Keys by tmux's names (Enter, C-c, q); type_text TEXT as it is.
keys()
{
	screen_tmux send-keys "$@"
}

type_text()
{
	screen_tmux send-keys -l -- "$1"
}
