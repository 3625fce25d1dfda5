#!/usr/bin/env bash
# Runs the README's two commands on a Debian that has Go, make and git alone.
#
# It builds one with debootstrap in a folder of its own, copies the Go toolchain
# of this machine and a clone of HEAD into it, and reads the commands off
# README.md, so that what is run is what is written. Needs root and port 8080.
# Everything runs in a mount and process namespace: when the script ends, however
# it ends, the kernel unmounts and kills what is left, and the folder is removed.
#
#   DOORBELL_FRESH_DIR     where to build it (default: a new folder in /var/tmp)
#   DOORBELL_FRESH_MIRROR  the Debian mirror (default: the one of debootstrap)
#   DOORBELL_FRESH_SUITE   the release (default: bookworm)
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "fresh: $(date +%T) $*"; }
die() { echo "fresh: $*" >&2; exit 1; }

# commands prints the shell lines that README.md has under a heading, without
# their comments: commands "Run it".
commands() {
	awk -v heading="## $1" '
		$0 == heading { on = 1; next }
		/^## / { on = 0 }
		/^```/ { block = on && !block && $0 == "```sh"; next }
		block' README.md | sed 's/[[:space:]]*#.*//' | grep -v '^$'
}

# inside runs a command line in the new machine, with nothing of this one's
# environment but what a registry behind a proxy needs.
inside() {
	local env=(HOME=/root LANG=C.UTF-8 CI=true PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
	for name in http_proxy https_proxy no_proxy GOPROXY GOSUMDB; do
		[ -z "${!name:-}" ] || env+=("$name=${!name}")
	done
	chroot "$root" env -i "${env[@]}" bash -c "cd /root/doorbell && $1"
}

# build makes the machine in $root.
build() {
	say "debootstrap $suite in $root"
	debootstrap --variant=minbase --include=ca-certificates,git,make "$suite" "$root" ${DOORBELL_FRESH_MIRROR:+"$DOORBELL_FRESH_MIRROR"} >"$dir/debootstrap.log" 2>&1 ||
		{ tail -20 "$dir/debootstrap.log" >&2; die "debootstrap failed"; }
	# Debian's security updates, as an installed machine has them.
	[ -n "${DOORBELL_FRESH_MIRROR:-}" ] || echo "deb http://deb.debian.org/debian-security $suite-security main" >>"$root/etc/apt/sources.list"
	cp -a "$(go env GOROOT)" "$root/usr/local/go"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" # a company's own authority, where it has one
	git clone --quiet . "$root/root/doorbell"
	mount --bind "$root" "$root" # a root of its own, as the browser's sandbox expects
	mount -t proc proc "$root/proc"
	mount --rbind /sys "$root/sys"
	mount --rbind /dev "$root/dev"
}

# serve runs the README's first commands: the server, and what the second
# terminal gets, which ends by itself.
serve() {
	local server simulate
	{ read -r server; read -r simulate; } < <(commands "Run it")
	say "\$ $server"
	inside "$server" >"$dir/serve.log" 2>&1 &
	local pid=$! begun=$SECONDS
	until grep -q '#ticket=' "$dir/serve.log"; do
		kill -0 "$pid" 2>/dev/null && [ $((SECONDS - begun)) -lt 600 ] || { cat "$dir/serve.log" >&2; die "$server printed no link"; }
		sleep 1
	done
	say "it serves and prints its link after $((SECONDS - begun)) s"
	say "\$ $simulate"
	inside "$simulate" >"$dir/simulate.log" 2>&1 || { cat "$dir/simulate.log" >&2; die "$simulate failed"; }
	pkill -INT -x doorbell || true
	wait "$pid" || { tail -5 "$dir/serve.log" >&2; die "$server did not stop well"; }
	say "it was paid, and stopped well"
}

# machine is the whole, within the namespaces.
machine() {
	build
	serve
	local test
	test=$(commands "Test it")
	say "\$ $test"
	local begun=$SECONDS
	inside "$test" 2>&1 | tee "$dir/test.log"
	say "$test is green after $((SECONDS - begun)) s"
}

suite=${DOORBELL_FRESH_SUITE:-bookworm}
if [ "${1:-}" = machine ]; then # within the namespaces
	dir=$2 root=$2/root
	machine
	exit
fi

[ "$(id -u)" = 0 ] || die "needs root: sudo make fresh"
[ -z "$(git status --porcelain)" ] || say "note: uncommitted changes are left out, HEAD is what is tried"
if (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null; then die "port 8080 is taken; the README's first command needs it"; fi
if ! command -v debootstrap >/dev/null; then
	say "installing the Debian package debootstrap"
	apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
fi
[ "$(commands "Run it" | head -1)" = "go run ." ] && [ "$(commands "Test it")" = "make test" ] || die "README.md does not hold the two commands where they were"
dir=$(mktemp -d "${DOORBELL_FRESH_DIR:-/var/tmp}/doorbell-fresh.XXXXXX")
mkdir "$dir/root"
clean() {
	if [ -n "${machine:-}" ]; then
		kill -KILL "$machine" 2>/dev/null || true
		wait "$machine" 2>/dev/null || true
	fi
	rm -rf --one-file-system "$dir"
}
trap clean EXIT
trap 'exit 130' INT TERM
say "begun on HEAD $(git rev-parse --short HEAD)"
unshare --mount-proc --pid --fork --kill-child --propagation private "$PWD/tools/fresh.sh" machine "$dir" &
machine=$!
wait "$machine"
machine=
say "ended, green"
