# shellcheck shell=bash
# Completion of proxyctl's command line for bash: source it, or install it as
# /usr/share/bash-completion/completions/proxyctl. What could follow is what `proxyctl --complete WORDS...` says, the
# names of servers from the running daemon.

_proxyctl()
{
	local before=${COMP_LINE:0:COMP_POINT} word candidate
	local words=() candidates=()

	# Not COMP_WORDS: bash splits words there at ':' and '=', which are part of ours.
	read -ra words <<<"$before"
	[[ $before != *[[:blank:]] ]] || words+=("")
	word=${words[-1]}
	mapfile -t candidates < <("${words[0]}" --complete "${words[@]:1}" 2>/dev/null)
	COMPREPLY=()
	for candidate in "${candidates[@]}"; do
		if [ "$candidate" = :files ]; then
			compopt -o default
			return
		fi
		# What is to stand for the last piece of the word, as bash sees it.
		case $word in
		*[:=]*)
			[[ $candidate != "$word"* ]] || candidate=${candidate#"${word%"${word##*[:=]}"}"}
			;;
		esac
		[[ $candidate != */ ]] || compopt -o nospace
		COMPREPLY+=("$candidate")
	done
}

complete -F _proxyctl proxyctl
