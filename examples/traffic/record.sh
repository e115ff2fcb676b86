#!/usr/bin/env bash
# Records traffic.pcap: real clients talk to real servers in two network namespaces of this script's own, which it takes
# down again whatever happens. The machine's own interfaces are neither used nor changed; no packet leaves the two
# namespaces. All addresses are from the ranges that are kept for documentation. Takes about 15 seconds.
#
# usage: record.sh [FILE]     needs root, ip, tcpdump, ethtool, ping (iputils), curl, python3
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
output=${1:-$here/traffic.pcap}
lan=bpfmaps-lan-$$
server=bpfmaps-srv-$$
work=$(mktemp -d)
jobs_started=()

for tool in ip tcpdump ethtool ping curl python3 sysctl; do
  command -v "$tool" >/dev/null || { echo "record.sh: needs $tool" >&2; exit 1; }
done

cleanup() {
  trap - EXIT INT TERM HUP
  for pid in "${jobs_started[@]}"; do kill "$pid" 2>/dev/null || true; done
  wait || true
  ip netns del "$lan" 2>/dev/null || true
  ip netns del "$server" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# Everything runs for a limited time, here and in the background.
in_lan() { timeout 30 ip netns exec "$lan" "$@"; }
in_server() { timeout 30 ip netns exec "$server" "$@"; }

wait_for() { # FILE TEXT
  for _ in $(seq 100); do
    grep -q "$2" "$1" 2>/dev/null && return
    sleep 0.05
  done
  echo "record.sh: no \"$2\" within 5 seconds:" >&2
  cat "$1" >&2
  exit 1
}

# lan0 -- srv0. The server side is the gateway as well, and has its services' addresses on lo.
ip netns add "$lan"
ip netns add "$server"
ip -n "$lan" link add lan0 address 02:00:5e:10:00:01 type veth peer name srv0 address 02:00:5e:10:00:02 netns "$server"
for side in "$lan lan0" "$server srv0"; do
  read -r namespace link <<<"$side"
  # What is captured shall be what a wire would carry: segments no longer than the MTU, with checksums.
  ip netns exec "$namespace" ethtool -K "$link" rx off tx off sg off tso off gso off gro off rxvlan off txvlan off >/dev/null
  ip netns exec "$namespace" sysctl -q -w net.ipv6.conf.all.accept_dad=0 "net.ipv6.conf.$link.accept_dad=0"
done
in_server sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

# Recording begins before there is an address, so that a new link's first packets (router solicitation, multicast
# reports) are there as well.
ip -n "$lan" link set lo up
ip -n "$server" link set lo up
ip -n "$server" link set srv0 up
ip -n "$lan" link set lan0 up
timeout 60 ip netns exec "$lan" tcpdump -i lan0 -s 65535 --time-stamp-precision=micro --immediate-mode -U -Z root \
  -w "$work/traffic.pcap" 2>"$work/tcpdump" &
tcpdump_pid=$!
jobs_started+=("$tcpdump_pid")
wait_for "$work/tcpdump" "listening on"

ip -n "$server" addr add 192.0.2.1/24 dev srv0
ip -n "$server" addr add 2001:db8:1::1/64 dev srv0 nodad
for address in 198.51.100.53 198.51.100.80 203.0.113.7 2001:db8:53::53 2001:db8:80::80 2001:db8:7::7; do
  ip -n "$server" addr add "$address" dev lo
done
for host in $(seq 10 33); do
  ip -n "$lan" addr add "192.0.2.$host/24" dev lan0
  ip -n "$lan" addr add "2001:db8:1::$host/64" dev lan0 nodad
done
ip -n "$lan" route add default via 192.0.2.1
ip -n "$lan" route add default via 2001:db8:1::1

timeout 60 ip netns exec "$server" python3 "$here/servers.py" >"$work/servers" 2>&1 &
jobs_started+=("$!")
wait_for "$work/servers" ready
sleep 1 # the new link's own packets

echo "ping"
in_lan ping -q -c 10 -i 0.1 -W 1 -I 192.0.2.10 203.0.113.7 >"$work/out"
in_lan ping -q -c 5 -i 0.1 -W 1 -I 192.0.2.11 -s 1400 198.51.100.80 >"$work/out"
in_lan ping -q -c 2 -i 0.1 -W 1 -I 192.0.2.11 -s 4000 198.51.100.80 >"$work/out"
in_lan ping -q -c 2 -i 0.1 -W 1 -I 192.0.2.12 -R 192.0.2.1 >"$work/out"
in_lan ping -q -c 2 -i 0.1 -W 1 -I 192.0.2.12 -T tsonly 203.0.113.7 >"$work/out"
in_lan ping -q -c 10 -i 0.1 -W 1 -I 2001:db8:1::10 2001:db8:7::7 >"$work/out"
in_lan ping -q -c 5 -i 0.1 -W 1 -I 2001:db8:1::11 -s 1400 2001:db8:80::80 >"$work/out"
in_lan ping -q -c 2 -i 0.1 -W 1 -I 2001:db8:1::11 -s 4000 2001:db8:80::80 >"$work/out"

echo "HTTP"
get() { # SOURCE HOST PATH...: one connection for all of them
  local source=$1 base=$2 urls=() path
  shift 2
  for path; do urls+=("$base/$path"); done
  in_lan curl -sS --max-time 10 --interface "$source" --user-agent curl "${urls[@]}" >"$work/out.$source"
}
for host in $(seq 10 21); do
  get "192.0.2.$host" http://198.51.100.80 $((host * 137)) &
  ipv4_pid=$!
  get "2001:db8:1::$host" 'http://[2001:db8:80::80]' $((host * 61)) &
  wait "$!" "$ipv4_pid"
done
get 192.0.2.22 http://198.51.100.80 0 100 1448 1449 20000 page
get 192.0.2.23 http://198.51.100.80 150000
get 2001:db8:1::23 'http://[2001:db8:80::80]' 150000
head -c 60000 /dev/zero | tr '\0' x >"$work/upload"
in_lan curl -sS --max-time 10 --interface 192.0.2.24 --data-binary "@$work/upload" -H 'Expect:' -o /dev/null \
  --user-agent curl http://198.51.100.80/upload

echo "DNS, echo, closed ports, multicast, IPv6 options"
in_lan python3 "$here/clients.py"
echo "tagged, other and malformed frames"
in_lan python3 "$here/frames.py" lan0

sleep 1
kill -INT "$tcpdump_pid"
wait "$tcpdump_pid" || true
cat "$work/tcpdump" >&2
mv "$work/traffic.pcap" "$output"
ls -l "$output"
