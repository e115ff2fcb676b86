#!/usr/bin/env python3
"""Sends what no socket would: frames with a VLAN tag, of other protocols, and malformed ones, one for each kind of fault."""

import socket
import struct
import sys
import time

LAN_MAC = bytes.fromhex("02005e100001")
SERVER_MAC = bytes.fromhex("02005e100002")
IPV4, IPV6, VLAN = 0x0800, 0x86DD, 0x8100


def ethernet(kind, payload, destination=SERVER_MAC):
    return destination + LAN_MAC + struct.pack("!H", kind) + payload


def vlan(number, kind, payload):
    return ethernet(VLAN, struct.pack("!HH", number, kind) + payload)


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(protocol, payload, source="192.0.2.200", destination="198.51.100.80", first=0x45, length=None, flip=0):
    length = 20 + len(payload) if length is None else length
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    header = struct.pack("!BBHHHBB", first, 0, length, 1, 0, 64, protocol)
    return header + struct.pack("!H", checksum(header + b"\0\0" + addresses) ^ flip) + addresses + payload


def ipv6(protocol, payload, source="2001:db8:1::200", destination="2001:db8:80::80", first=0x60, length=None):
    length = len(payload) if length is None else length
    addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination)
    return struct.pack("!BBHHBB", first, 0, 0, length, protocol, 64) + addresses + payload


def udp(source, destination, payload, length=None):
    length = 8 + len(payload) if length is None else length
    return struct.pack("!HHHH", source, destination, length, 0) + payload  # no checksum, which IPv4 allows


def tcp(source, destination, words=5):
    return struct.pack("!HHIIBBHHH", source, destination, 1, 0, words << 4, 2, 1024, 0, 0)


def echo_request(number):
    body = struct.pack("!HH", 7, number) + b"tagged ping"
    return struct.pack("!BBH", 8, 0, checksum(struct.pack("!BBH", 8, 0, 0) + body)) + body


def good_frames():
    for number in range(8):
        log = b"<14>host%d: nothing to report" % number
        yield vlan(7, IPV4, ipv4(17, udp(514, 514, log), f"203.0.113.{130 + number}"))
    for number in range(3):
        yield vlan(7, IPV4, ipv4(1, echo_request(number), "203.0.113.130", "203.0.113.7"))
    yield vlan(7, IPV6, ipv6(59, b"", "2001:db8:7::130", "2001:db8:7::7"))
    # Other transports: SCTP, GRE, OSPF.
    yield ethernet(IPV4, ipv4(132, struct.pack("!HHII", 5000, 5001, 0, 0)))
    yield ethernet(IPV4, ipv4(47, struct.pack("!HH", 0, IPV4) + ipv4(1, echo_request(9))))
    yield ethernet(IPV6, ipv6(89, bytes(16)))
    # Not IP at all: LLDP, a spanning tree frame with its length in place of the type, a service tag.
    yield ethernet(0x88CC, bytes.fromhex("0207 04 02005e100001 0403 07 6c30 0602 0078 0000"), bytes.fromhex("0180c200000e"))
    yield ethernet(38, bytes.fromhex("424203000000000080000200") + bytes(26), bytes.fromhex("0180c2000000"))
    yield ethernet(0x88A8, struct.pack("!HH", 7, IPV4) + ipv4(17, udp(1, 2, b"")))


def malformed_frames():
    yield ethernet(VLAN, b"\0\7")
    yield ethernet(IPV4, ipv4(17, b"")[:12])
    yield ethernet(IPV4, ipv4(17, udp(1, 2, b"x"), first=0x55))
    yield ethernet(IPV4, ipv4(17, udp(1, 2, b"x"), first=0x44))
    yield ethernet(IPV4, ipv4(17, udp(1, 2, b"x"), length=600))
    yield ethernet(IPV4, ipv4(17, udp(1, 2, b"x"), length=10))
    yield ethernet(IPV4, ipv4(17, udp(1, 2, b"x"), flip=0x0101))
    yield ethernet(IPV4, ipv4(6, tcp(1, 80)[:12]))
    yield ethernet(IPV4, ipv4(6, tcp(1, 80, words=4)))
    yield ethernet(IPV4, ipv4(6, tcp(1, 80, words=9)))
    yield ethernet(IPV4, ipv4(17, b"\0\1\0\2"))
    yield ethernet(IPV4, ipv4(17, udp(1, 2, b"x", length=4)))
    yield ethernet(IPV4, ipv4(17, udp(1, 2, b"x", length=400)))
    yield ethernet(IPV4, ipv4(1, b"\x08\0\0"))
    yield ethernet(IPV6, ipv6(17, b"")[:30])
    yield ethernet(IPV6, ipv6(17, udp(1, 2, b"x"), first=0x40))
    yield ethernet(IPV6, ipv6(17, udp(1, 2, b"x"), length=900))
    yield ethernet(IPV6, ipv6(0, bytes([17, 9, 1, 4, 0, 0, 0, 0])))
    yield ethernet(IPV6, ipv6(60, bytes([60, 0, 1, 4, 0, 0, 0, 0]) * 9))
    yield ethernet(IPV6, ipv6(6, tcp(1, 80)[:19]))
    yield ethernet(IPV6, ipv6(58, b"\x80\0"))


def main():
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((sys.argv[1], 0))
        for frame in [*good_frames(), *malformed_frames()]:
            sock.send(frame)
            time.sleep(0.01)


main()
