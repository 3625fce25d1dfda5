#!/usr/bin/env bash
# Tries the Debian package that make deb left in dist/: lints it, and runs the commands
# of docs/install.md, section Debian, in a Debian of its own whose systemd runs.
#
# It builds that Debian with debootstrap in a folder of its own and boots it by
# systemd-nspawn with a network of its own, so that port 8080 and the machine's
# users are not touched. Needs root; it installs debootstrap, systemd-container and
# lintian where they lack.
#
#   DOORBELL_FRESH_DIR     where to build it (default: a new folder in /var/tmp)
#   DOORBELL_FRESH_MIRROR  the Debian mirror (default: the one of debootstrap)
#   DOORBELL_FRESH_SUITE   the release (default: bookworm)
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "deb-check: $(date +%T) $*"; }
die() { echo "deb-check: $*" >&2; exit 1; }

# commands prints the shell lines of docs/install.md, section Debian, that begin so.
commands() {
	awk '
		$0 == "## Debian" { on = 1; next }
		/^## / { on = 0 }
		/^```/ { block = on && !block && $0 == "```sh"; next }
		block' docs/install.md | grep -e "^$1" || die "docs/install.md has no command $1"
}

# inside runs a command line in the container, as root, in the folder that has dist/.
inside() { nsenter --target "$leader" --all env -i HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin bash -c "cd /root && $1"; }

# written runs a command of the document as it is written, and answers yes.
written() {
	local line
	line=$(commands "$1")
	echo "\$ $line"
	inside "$line" <<<Y
}

# want fails unless a command line succeeds in the container, at the latest after
# 20 s: a service that starts takes a moment.
want() {
	local begun=$SECONDS
	until inside "$2" >"$dir/want.log" 2>&1; do
		[ $((SECONDS - begun)) -lt 20 ] || { cat "$dir/want.log" >&2; inside 'journalctl --no-pager -u doorbell.service -n 20' >&2 || true; die "not so: $1"; }
		sleep 0.2
	done
	say "$1"
}

# repack makes the same package of a higher version, with other settings in it: what
# an upgrade brings.
repack() {
	dpkg-deb --raw-extract "$deb" "$dir/next"
	sed -i 's/^Version: .*/&+next/' "$dir/next/DEBIAN/control"
	echo "# settings of the next release" >>"$dir/next/etc/doorbell/config.yaml"
	mkdir "$root/root/next"
	dpkg-deb --root-owner-group -Zgzip --build "$dir/next" "$root/root/next/doorbell_next_amd64.deb" >/dev/null
}

[ "$(id -u)" = 0 ] || die "needs root: sudo make deb-check"
missing=
for p in debootstrap systemd-container lintian; do dpkg-query -W -f='${Status}' $p 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"; done
if [ -n "$missing" ]; then
	say "installing the Debian packages$missing"
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
arch=$(dpkg --print-architecture)
deb=$(ls dist/doorbell_*_"$arch".deb 2>/dev/null) && [ "$(wc -l <<<"$deb")" = 1 ] || die "want one dist/doorbell_VERSION_$arch.deb: make deb"

say "lintian $deb"
lintian --allow-root --fail-on error "$deb"

dir=$(mktemp -d "${DOORBELL_FRESH_DIR:-/var/tmp}/doorbell-deb.XXXXXX") root=$dir/root
container=
clean() {
	if [ -n "$container" ]; then
		kill -TERM "$container" 2>/dev/null || true
		wait "$container" 2>/dev/null || true
	fi
	rm -rf --one-file-system "$dir"
}
trap clean EXIT
trap 'exit 130' INT TERM
suite=${DOORBELL_FRESH_SUITE:-bookworm}
say "debootstrap $suite in $root"
debootstrap --variant=minbase --include=adduser,ca-certificates,curl,sudo,systemd,systemd-sysv "$suite" "$root" ${DOORBELL_FRESH_MIRROR:+"$DOORBELL_FRESH_MIRROR"} >"$dir/debootstrap.log" 2>&1 ||
	{ tail -20 "$dir/debootstrap.log" >&2; die "debootstrap failed"; }
mkdir "$root/root/dist"
cp "$deb" "$root/root/dist/"
repack

systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit --private-network --console=pipe >"$dir/boot.log" 2>&1 </dev/null &
container=$!
begun=$SECONDS leader=
until leader=$(pgrep -P "$container" -x systemd) && inside 'systemctl is-system-running --wait' >/dev/null 2>&1 || [ -n "$leader" ] && inside 'systemctl is-active --quiet multi-user.target'; do
	kill -0 "$container" 2>/dev/null && [ $((SECONDS - begun)) -lt 60 ] || { tail -20 "$dir/boot.log" >&2; die "the container did not boot"; }
	sleep 0.2
done
say "its systemd runs"

written 'sudo apt install'
want "it answers /healthz" "$(commands curl)"
want "the service runs as its own user" '[ "$(ps -o user= -C doorbell 2>/dev/null || stat -c %U /proc/$(systemctl show -P MainPID doorbell.service))" = doorbell ]'
want "systemd holds its socket" 'systemctl is-active --quiet doorbell.socket doorbell.service && systemctl is-enabled --quiet doorbell.socket doorbell.service'
want "the settings are root's and the service's alone" '[ "$(stat -c "%U:%G %a" /etc/doorbell/config.yaml /etc/doorbell)" = "$(printf "root:doorbell 640\nroot:doorbell 750")" ]'
want "the database is the service's alone" '[ "$(stat -c "%U %a" /var/lib/doorbell)" = "doorbell 700" ] && [ "$(stat -c "%U %a" /var/lib/doorbell/doorbell.db)" = "doorbell 600" ]'
written 'sudo -u doorbell doorbell link' | grep -F 'http://127.0.0.1:8080/#ticket=' || die "it printed no link"
inside 'sudo -u doorbell doorbell simulate --config /etc/doorbell/config.yaml' >"$dir/simulate.log" 2>&1 || { cat "$dir/simulate.log" >&2; die "an order did not ring"; }
say "an order was paid and told"

inside "sed -i 's/client_text: false/client_text: true/' /etc/doorbell/config.yaml"
written 'sudo systemctl restart doorbell.service'
want "it answers after a change of the settings" "$(commands curl)"
old=$(inside 'systemctl show -P MainPID doorbell.service') bound=$(inside 'systemctl show -P ActiveEnterTimestampMonotonic doorbell.socket')
inside 'apt-get install -y -qq -o Dpkg::Options::=--force-confold ./next/doorbell_next_amd64.deb' >"$dir/upgrade.log" 2>&1 || { cat "$dir/upgrade.log" >&2; die "the upgrade failed"; }
want "the upgrade keeps what the administrator set" 'grep -q "client_text: true" /etc/doorbell/config.yaml && ! grep -q "settings of the next release" /etc/doorbell/config.yaml'
want "the upgrade restarts the service" "[ \"\$(systemctl show -P MainPID doorbell.service)\" != $old ] && $(commands curl)"
want "the socket stayed open" "[ \"\$(systemctl show -P ActiveEnterTimestampMonotonic doorbell.socket)\" = $bound ]"
want "the order is still there" 'sudo -u doorbell doorbell verify --config /etc/doorbell/config.yaml'

inside 'apt-get remove -y -qq doorbell' >"$dir/remove.log" 2>&1 || { cat "$dir/remove.log" >&2; die "the removal failed"; }
want "a removal keeps the settings and the data" '[ -e /etc/doorbell/config.yaml ] && [ -e /var/lib/doorbell/doorbell.db ] && ! systemctl is-active --quiet doorbell.socket && [ ! -e /usr/bin/doorbell ]'
written 'sudo apt purge'
want "a purge removes the user and the settings" '! getent passwd doorbell && ! getent group doorbell && [ ! -e /etc/doorbell ] && [ ! -e /etc/systemd/system/doorbell.socket ] && [ -z "$(find / -xdev -name "doorbell*" -not -path "/root/*" -not -path "/var/lib/doorbell*" -not -path "/var/log/*" -print -quit)" ]'
want "a purge keeps the data, for root alone" '[ "$(stat -c "%U %a" /var/lib/doorbell)" = "root 700" ] && [ "$(stat -c %U /var/lib/doorbell/doorbell.db)" = root ]'
inside 'apt-get install -y -qq ./dist/doorbell_*.deb' >"$dir/again.log" 2>&1 || { cat "$dir/again.log" >&2; die "it can't be installed again"; }
want "installed again it goes on with the data" "[ \"\$(stat -c %U /var/lib/doorbell/doorbell.db)\" = doorbell ] && $(commands curl)"
inside 'apt-get purge -y -qq doorbell && rm -r /var/lib/doorbell' >/dev/null 2>&1
say "ended, green"
