# From measurements (results.jsonl, slurped) to results: for each load and peer the median of every figure with its
# spread over the rounds, and how proxyd stands to others, round by round. What had a failure in any round has no
# figures. Arguments: meta, and rows (the lines of the table of loads).

def median: sort | if length == 0 then null elif length % 2 == 1 then .[(length - 1) / 2]
	else (.[length / 2 - 1] + .[length / 2]) / 2 end;
# Of eight and more the quartiles, for one disturbed round in many says nothing; of fewer the least and the most.
def quartile($q): sort | ((length - 1) * $q) as $at | ($at | floor) as $i
	| .[$i] + (.[[$i + 1, length - 1] | min] - .[$i]) * ($at - $i);
def spread: if length == 0 then null elif length < 8 then {median: median, low: min, high: max}
	else {median: median, low: quartile(0.25), high: quartile(0.75)} end;

# One measurement's figures: CPU in microseconds per unit (milliseconds per GB), rate in units per second, latency
# in microseconds, memory in bytes.
def figures:
	(if .unit == "GB" then {per: 1e9, cpu: 1e6} else {per: 1, cpu: 1e3} end) as $scale
	| ((.units // 0) / $scale.per) as $units
	| (if $units > 0 then {rate: ($units / .seconds)} else {} end)
	+ (if $units > 0 and .cpu_proxy_ns != null then
		(.cpu_proxy_ns + .cpu_origin_ns + .cpu_load_ns) as $own
		| {machine: ($own / $units / $scale.cpu)}
		+ (if .unit == "GB" then {others_core: ((.cpu_origin_ns + .cpu_load_ns) / .seconds / 1e7)} else {} end)
		+ (if .peer != "none" then {cpu: (.cpu_proxy_ns / $units / $scale.cpu)} else {} end)
		else {} end)
	+ {p50: .p50_us, p99: .p99_us, p999: .p999_us, memory, pause: .pause_ms, fixed_rate, uneven: .uneven_pct,
		idle_cpu: (if .idle_cpu_ns then .idle_cpu_ns / 1e6 else null end)}
	| with_entries(select(.value != null));

# The part of the machine that something else used meanwhile, over all measurements of a load: the kernel counts the
# machine's time in ticks of 10 ms, which says nothing of one short span.
def others:
	map(select(.cpu_machine_ns != null and .seconds > 0))
	| if length == 0 then null else
		((map(.cpu_machine_ns) | add) - (map(.cpu_proxy_ns + .cpu_origin_ns + .cpu_load_ns) | add))
			/ ((map(.seconds) | add) * 1e9 * $meta.cores)
	end;

def peer_result:
	([.[].failures] | add) as $failures
	| {failures: $failures}
	+ if $failures > 0 then {failed: ([.[].failed] | add)} else
		map({round, figures: figures}) as $rounds
		| {figures: (reduce ($rounds | map(.figures | keys) | add | unique[]) as $key ({};
			.[$key] = ([$rounds[].figures[$key] | select(. != null)] | spread))),
		rounds: $rounds}
	end;

# The better of two figures is the smaller one, but for rates.
def best($key): if $key == "rate" then max_by(.value) else min_by(.value) end;

# proxyd's figure over another's in the same round.
def ratio($ours; $theirs; $key):
	[$ours[] as $o | $theirs[] | select(.round == $o.round)
		| select(.figures[$key] != null and .figures[$key] > 0 and $o.figures[$key] != null)
		| $o.figures[$key] / .figures[$key]] | spread;

# no proxy and bare are no competitors.
def best_peer($key):
	[to_entries[] | select((.key | IN("none", "bare", "proxyd") | not) and .value.figures[$key] != null)
		| {peer: .key, value: .value.figures[$key].median}]
	| if length == 0 then null else best($key).peer end;

def against($key; $peer):
	if $peer == null or .[$peer].rounds == null or .proxyd.rounds == null then null
	else ratio(.proxyd.rounds; .[$peer].rounds; $key) | if . == null then null else . + {peer: $peer} end end;

# FIGURE<=RATIO[/PEER], or FIGURE<=NUMBER= for a figure as it is.
def goal($peers):
	capture("^(?<figure>[a-z0-9]+)(?<op><=|>=)(?<bound>[0-9.]+)(?<rest>.*)$")
	| .figure as $figure | .rest as $rest
	| .bound |= tonumber
	| .is = ($peers | if $rest == "=" then .proxyd.figures[$figure]
		else against($figure; if $rest == "" then best_peer($figure) else $rest[1:] end) end)
	| .absolute = ($rest == "=")
	| .reached = (if .is == null then null elif .op == "<=" then .is.median <= .bound else .is.median >= .bound end)
	| del(.rest);

map(select(.load != null)) as $samples
| [$rows[] | split(" ") as $row
	| ($samples | map(select(.load == $row[0]))) as $mine | select($mine | length > 0)
	| ($mine | group_by(.peer) | map({key: .[0].peer, value: peer_result}) | from_entries) as $peers
	| {name: $row[0], setup: $row[1], kind: $row[2], unit: $row[3], options: ($row[5:] | join(" ")), $peers,
		others: ($mine | others),
		ratios: ($peers | [("rate", "cpu", "p99", "memory") as $key | {key: $key, value: against($key; best_peer($key))},
			{key: "machine", value: against("machine"; "none")}] | unique | map(select(.value != null)) | from_entries),
		floor: ($peers | {cpu: against("cpu"; "bare")} | map_values(select(. != null))),
		goals: [$row[4] | select(. != "-") | split(",")[] | goal($peers)]}]
| {meta: $meta, loads: .}
