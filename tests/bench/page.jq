# The results as Markdown: what becomes tests/bench/RESULTS.md when they are kept.
include "words";

def cells: "| " + join(" | ") + " |";
def cell($key): .figures[$key] | if . == null then "-" else (.median | short) end;

def line($name):
	if .failures > 0 then [$name, "FAILED", "", "", "", "", "", ""]
	else [$name, cell("rate"), cell("cpu"), cell("machine"), cell("p50"), cell("p99"), cell("p999"), cell("memory")] end | cells;

def head:
	["", (if .unit == "GB" then "GB/s", "CPU ms" else "\(.unit)s/s", "CPU us" end), "machine", "p50 us", "p99 us", "p99.9 us", "memory B"];

def load_lines:
	"", "## \(.name)", "", "`load \(.options)`; CPU per \(.unit)", "", (head | cells), (head | map("---") | cells),
	(.peers as $peers | $peers | order[] | . as $name | $peers[$name] | line($name)),
	"", "![\(.name)](plots/\(.name).svg)", "",
	(.peers | (rate_words, other_words) | select(. != "") | "- " + .),
	((.ratios, .floor) | select(length > 0) | "- proxyd: \(ratio_words)"),
	(.goals[] | "- goal: " + goal_words);

"# Results", "",
"Written by `make bench KEEP=1`, not by hand. \(machine_words).", "", version_words + ".", "", manner_words,
(disturbed | if . > 0.05 then "", "PRELIMINARY: other programs used up to \(. * 100 | round) % of the machine meanwhile." else empty end),
(.loads[] | load_lines)
