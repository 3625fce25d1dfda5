# Called by performance.sh with dir (the rows) and out (the images). Each point is
# the median of its runs, each bar runs from the least to the most.
set terminal svg size 720,360 font "sans-serif,13" background "white"
set grid ytics lc rgb "#dddddd"
set border 3 lc rgb "#888888"
set tics nomirror
set key bottom right
set style data yerrorlines
set pointsize 0.6
set logscale x
set format x "%'.0f"

set output out."/performance-consoles.svg"
set title "Server CPU per delivery, 20,000 deliveries a second"
set xlabel "consoles of one shop"
set ylabel "µs"
set yrange [0:*]
plot dir."/cpu.ws" using 1:3:2:4 title "WebSocket" lc rgb "#c0392b", \
     dir."/cpu.sse" using 1:3:2:4 title "SSE" lc rgb "#2471a3", \
     dir."/cpu.floor" using 1:3:2:4 title "floor" lc rgb "#7f8c8d"

set output out."/performance-memory.svg"
set title "Resident memory of the server, idle consoles"
set xlabel "consoles, of 4 to a shop"
set ylabel "MiB"
unset logscale x
plot dir."/memory.ws" using 1:3:2:4 title "WebSocket" lc rgb "#c0392b", \
     dir."/memory.sse" using 1:3:2:4 title "SSE" lc rgb "#2471a3"
set logscale x

set output out."/performance-shops.svg"
set title "Server CPU per 1,000 alerts, each committed with fsync first"
set xlabel "shops, a console in each"
set ylabel "ms"
plot dir."/shops" using 1:3:2:4 notitle lc rgb "#c0392b"

set output out."/performance-others.svg"
set title "Server CPU per delivery to 100 consoles of one shop"
set xlabel "all consoles, the others of other shops"
set ylabel "µs"
plot dir."/others" using 1:3:2:4 notitle lc rgb "#c0392b"

set output out."/performance-log.svg"
set title "Time of one question, 1,000 shops"
set xlabel "alerts in the log"
set ylabel "µs"
set logscale y
set yrange [10:*]
set key outside right
plot for [q in "resume where open history append accept"] dir."/log.".q using 1:3:2:4 title q
