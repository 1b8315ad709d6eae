# What both forms of the results say in the same words.

# Three digits that count.
def short: if . == null then "-" elif . == 0 then "0" elif fabs >= 100 then round | tostring
	elif fabs >= 10 then (. * 10 | round / 10 | tostring) else (. * 100 | round / 100 | tostring) end;
def range: if .low == null then "" else " (\(.low | short) to \(.high | short))" end;

# The peers in the order in which they are shown.
def order: ["none", "bare", "haproxy", "tuned", "spliced", "nginx", "proxyd"] as $known
	| keys as $there | ($known - ($known - $there)) + ($there - $known);

def ratio_words:
	to_entries | map("\(.key) \(.value.median | short)\(.value | range) of \(.value.peer)") | join(", ");

def goal_words:
	"\(.figure) \(.op) \(.bound)" + (if .absolute or .is == null then "" else " of \(.is.peer)" end)
	+ ": " + (if .is == null then "not measured" else "\(.is.median | short)\(.is | range), "
		+ (if .reached then "reached" else "MISSED" end) end);

# Figures that have no column, of whoever has them.
def other_words:
	. as $peers | [["others_core", "% of their core for load and origin"], ["idle_cpu", "ms of CPU per idle second"],
		["pause", "ms at most that a request waited"], ["uneven", "% more than its share for the busiest worker"]]
	| map(. as [$key, $text]
		| [$peers | order[] | . as $name | $peers[$name].figures[$key]? // empty | "\($name) \(.median | short)\(range)"]
		| select(length > 0) | "\($text): \(join(", "))")
	| join("; ");
def rate_words: [.[].figures.fixed_rate.median // empty] | if length > 0 then "at \(.[0] | short) requests a second" else "" end;

# The part of the machine that other programs had at most, over the loads.
def disturbed: [.loads[].others // 0] | max // 0;

def machine_words: "\(.meta.date), \(.meta.cpu), \(.meta.cores) cores, \(.meta.kernel), commit \(.meta.commit)";
def version_words: .meta.versions | to_entries | map("\(.key): \(.value)") | join("; ");
def manner_words: "\(.meta.rounds) rounds of \(.meta.span_s) s after \(.meta.warm_s) s"
	+ (.meta.slow_every | if . > 1 then " (what is slow to begin: every \(.) rounds, \(.) times as long)" else "" end)
	+ ", medians; in brackets what lies between the quartiles, of fewer than eight values the least and the most; CPU is the proxy\u0027s own (all its processes) per unit, machine is proxy, origin and load.";
