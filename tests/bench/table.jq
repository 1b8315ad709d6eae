# The results as text for a terminal. Dashes stand for what was not measured.
include "words";

def pad($n): tostring | if length < $n then (" " * ($n - length)) + . else . end;
def left($n): if length < $n then . + (" " * ($n - length)) else . end;
def cell($key): .figures[$key].median | short | pad(9);

def line($name):
	"  " + ($name | left(9)) + if .failures > 0 then "  FAILED: " + (.failed | tojson)
	else cell("rate") + cell("cpu") + cell("machine") + cell("p50") + cell("p99") + cell("p999") + cell("memory") end;

def head:
	[(if .unit == "GB" then "GB/s", "CPU ms" else "rate/s", "CPU us" end), "machine", "p50 us", "p99 us", "p99.9 us", "memory B"]
	| map(pad(9)) | join("");

def load_lines:
	"\(.name): per \(.unit); \(.options)",
	"  " + ("" | left(9)) + head,
	(.peers as $peers | $peers | order[] | . as $name | $peers[$name] | line($name)),
	(.peers | (rate_words, other_words) | select(. != "") | "  " + .),
	((.ratios, .floor) | select(length > 0) | "  proxyd: \(ratio_words)"),
	(.goals[] | "  goal: " + goal_words),
	"";

machine_words, version_words, manner_words, "",
(.loads[] | load_lines),
(disturbed | if . > 0.05 then "PRELIMINARY: other programs used up to \(. * 100 | round) % of the machine meanwhile." else empty end)
