#!/usr/bin/env bash
# Measures what docs/performance.md shows and draws its plots: half an hour on
# two cores. Nothing else should run meanwhile. Needs Go, jq and gnuplot.
#
#   tools/performance.sh [table|nchan|consoles|shops|log|plots|markdown]...   (default: all)
set -euo pipefail
cd "$(dirname "$0")/.."
data=docs/performance images=docs/images
mkdir -p "$data"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -trimpath -o "$bin/doorbell" .
bench() { "$bin/doorbell" bench "$@"; }

machine() {
	{
		echo "date       $(date -u +%F)"
		echo "commit     $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- . ':!docs' || echo ' and changes')"
		echo "processor  $(awk -F': *' '/model name/ {print $2; exit}' /proc/cpuinfo), $(nproc) cores"
		echo "memory     $(awk '/MemTotal/ {printf "%.0f GiB", $2/1048576}' /proc/meminfo)"
		echo "kernel     $(uname -sr)"
		echo "go         $(go env GOVERSION)"
	} >"$data/machine.txt"
}

# The table: every scenario five times, the floor in each run.
table() {
	rm -f "$data/table.jsonl"
	bench --runs "${RUNS:-5}" --json "$data/table.jsonl" | tee "$data/table.txt"
}

# The fan-out beside Nchan in the same run, where the module is installed (Debian:
# libnginx-mod-nchan).
nchan() {
	rm -f "$data/nchan.jsonl"
	bench --scenario fanout --nchan "${NCHAN:-/usr/lib/nginx/modules/ngx_nchan_module.so}" --runs "${RUNS:-5}" --json "$data/nchan.jsonl"
}

# The same 20,000 deliveries a second to ever more consoles, and the memory.
consoles() {
	rm -f "$data/consoles.jsonl"
	for n in 100 1000 5000 15000; do
		bench --scenario fanout --consoles $n --rate $((20000 / n)) --duration 4s --runs 3 --json "$data/consoles.jsonl" >/dev/null
		bench --scenario idle --consoles $n --runs 3 --json "$data/consoles.jsonl" >/dev/null
	done
}

# One console in each of ever more shops; and one shop beside ever more others.
shops() {
	rm -f "$data/shops.jsonl"
	for n in 1 10 100 1000 10000; do
		bench --scenario shops --transport ws --shops $n --consoles $n --duration 3s --runs 3 --json "$data/shops.jsonl" >/dev/null
	done
	for n in 200 2000 10000; do
		bench --scenario others --transport ws --consoles $n --duration 5s --runs 3 --json "$data/shops.jsonl" >/dev/null
	done
}

# Logs of 10^4 to 10^7 alerts.
log() {
	DOORBELL_BENCH_LOG=${DOORBELL_BENCH_LOG:-10000000} go test ./internal/store -run '^$' -bench Growth -benchtime 200ms -count 3 -timeout 1h >"$data/log.txt"
}

# spread turns lines of "x value" into "x least median most".
spread() {
	sort -k1,1n -k2,2n | awk '{ v[$1] = v[$1] " " $2; n[$1]++ }
		END { for (x in v) { split(v[x], a, " "); print x, a[1], a[int((n[x] + 1) / 2)], a[n[x]] } }' | sort -n
}

# rows FILE SCENARIO TRANSPORT FIGURE COLUMN [value|floor]
rows() {
	jq -r --arg s "$2" --arg t "$3" --arg f "$4" --arg c "$5" --arg v "${6:-value}" \
		'select(.scenario == $s and .transport == $t and .figure == $f) | "\(.[$c]) \(.[$v])"' "$1" | spread
}

plots() {
	local tmp=$bin
	for t in ws sse; do
		rows "$data/consoles.jsonl" fanout $t server_cpu_per_delivery consoles >"$tmp/cpu.$t"
		rows "$data/consoles.jsonl" fanout $t latency_p99 consoles >"$tmp/p99.$t"
		rows "$data/consoles.jsonl" idle $t memory consoles >"$tmp/memory.$t"
	done
	rows "$data/consoles.jsonl" fanout ws server_cpu_per_delivery consoles floor >"$tmp/cpu.floor"
	rows "$data/shops.jsonl" shops ws server_cpu_per_1000_alerts shops >"$tmp/shops"
	rows "$data/shops.jsonl" others ws server_cpu_per_delivery consoles >"$tmp/others"
	for q in resume where open history append accept; do
		awk -v q="$q" '$1 ~ "/" q "-" { split($1, p, /[=\/]/); print p[3], $3 / 1000 }' "$data/log.txt" | spread >"$tmp/log.$q"
	done
	gnuplot -e "dir='$tmp'; out='$images'" tools/performance.gp
}

# The table of the document: the middle of the runs, and their ends.
markdown() {
	jq -rs '
		def r: if . == 0 then "0" else (. as $v | (3 - ($v | fabs | log10 | floor) - 1) as $d
			| if $d <= 0 then ($v | round | tostring) else (($v * pow(10; $d) | round) / pow(10; $d) | tostring) end) end;
		def s: sort as $v | "\($v[(($v | length) - 1) / 2 | floor] | r) (\($v[0] | r)–\($v[-1] | r))";
		map(select(.figure | IN("lost", "doubled", "reordered", "client_cpu_per_delivery") | not))
		| "| scenario | transport | consoles | figure | seen | floor | ratio |", "|---|---|---|---|---|---|---|",
		  (group_by([.scenario, .transport, .consoles, .figure])
			| sort_by(.[0].scenario as $n | ["fanout", "flat", "shops", "idle", "others", "storm", "resume", "flood", "absent", "restart", "callbacks"] | index($n))[]
			| .[0] as $f | "| \($f.scenario) | \($f.transport) | \($f.consoles) | \($f.figure), \($f.unit) | \(map(.value) | s) | " +
			  (if $f.floor then (map(.floor) | s) else "" end) + " | " + (if $f.ratio then (map(.ratio) | s) else "" end) + " |")' "$data/table.jsonl"
}

machine
for part in "${@:-table}"; do "$part"; done
[ $# -gt 0 ] || { nchan; consoles; shops; log; plots; }
