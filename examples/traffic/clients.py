#!/usr/bin/env python3
"""The clients of record.sh, besides curl and ping: DNS queries, echoes, closed ports, multicast, IPv6 options."""

import random
import socket
import struct
import time

CLIENTS4 = [f"192.0.2.{host}" for host in range(10, 34)]
CLIENTS6 = [f"2001:db8:1::{host}" for host in range(10, 34)]
SEED = 2026


def open_socket(kind, source, port=0):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    sock = socket.socket(family, kind)
    sock.settimeout(2)
    sock.bind((source, port))
    return sock


def dns(chance):
    """Every client asks some questions, one of them after a name that is not there."""
    names = ["www.example", "echo.example", "dns.example", "only4.example", "missing.example"]
    for source in CLIENTS4 + CLIENTS6:
        server = "2001:db8:53::53" if ":" in source else "198.51.100.53"
        for name in chance.sample(names, 2):
            with open_socket(socket.SOCK_DGRAM, source) as sock:
                question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
                header = struct.pack("!HHHHHH", chance.getrandbits(16), 0x0100, 1, 0, 0, 0)
                sock.sendto(header + question + struct.pack("!HH", chance.choice([1, 28]), 1), (server, 53))
                sock.recv(512)
        time.sleep(0.005)


def udp_echo(chance):
    """Datagrams of many sizes; those above 1472 bytes travel in fragments."""
    for source, server in ((CLIENTS4[0], "203.0.113.7"), (CLIENTS6[0], "2001:db8:7::7")):
        with open_socket(socket.SOCK_DGRAM, source) as sock:
            for size in (0, 1, 18, 64, 200, 500, 512, 1000, 1024, 1400, 1452, 1472, 2000, 4000):
                sock.sendto(chance.randbytes(size), (server, 7))
                sock.recv(65536)
    # Few packets each from many ports.
    for index in range(12):
        with open_socket(socket.SOCK_DGRAM, CLIENTS4[index], 40000 + index) as sock:
            for _ in range(chance.randint(1, 4)):
                sock.sendto(b"hello", ("203.0.113.7", 7))
                sock.recv(64)


def tcp_echo(chance):
    """A conversation of small messages that takes its time."""
    for source, server in ((CLIENTS4[1], "203.0.113.7"), (CLIENTS6[1], "2001:db8:7::7")):
        with open_socket(socket.SOCK_STREAM, source) as sock:
            sock.connect((server, 7))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number in range(25):
                message = f"message {number} {'.' * chance.randint(0, 80)}\n".encode()
                sock.sendall(message)
                left = len(message)
                while left:
                    left -= len(sock.recv(left))
                time.sleep(0.01)


def closed_ports():
    """TCP answers with a reset, UDP with an ICMP error; beyond the gateway there is no route."""
    for source, server in ((CLIENTS4[2], "198.51.100.80"), (CLIENTS6[2], "2001:db8:80::80")):
        for port in (22, 443, 8080):
            with open_socket(socket.SOCK_STREAM, source) as sock:
                try:
                    sock.connect((server, port))
                except OSError:
                    pass
            with open_socket(socket.SOCK_DGRAM, source) as sock:
                sock.sendto(b"anyone there?", (server, port))
    for source, nowhere in ((CLIENTS4[3], "198.51.100.200"), (CLIENTS6[3], "2001:db8:99::1")):
        for _ in range(3):
            with open_socket(socket.SOCK_DGRAM, source) as sock:
                sock.sendto(b"lost", (nowhere, 9))
    time.sleep(0.1)


def multicast():
    """Joining a group sends IGMP or MLD, both with an option in the IP header; then something is said to it."""
    group4, group6, port = "239.1.2.3", "ff02::1234", 5007
    link = socket.if_nametoindex("lan0")
    with open_socket(socket.SOCK_DGRAM, "0.0.0.0") as sock:
        membership = struct.pack("=4s4si", socket.inet_aton(group4), socket.inet_aton("0.0.0.0"), link)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", link))
        for _ in range(4):
            sock.sendto(b"hello, group", (group4, port))
        time.sleep(0.5)
    with open_socket(socket.SOCK_DGRAM, "::") as sock:
        membership = socket.inet_pton(socket.AF_INET6, group6) + struct.pack("=i", link)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
        for _ in range(4):
            sock.sendto(b"hello, group", (group6, port, 0, link))
        time.sleep(0.5)


def ipv6_options():
    """Datagrams with a hop-by-hop header, with destination options, and with both."""
    padding = bytes([0, 0, 1, 4, 0, 0, 0, 0])
    longer = bytes([0, 2, 0x1E, 20]) + bytes(20)  # an option for experiments: skipped where it is not known
    hop, destination = socket.IPV6_HOPOPTS, socket.IPV6_DSTOPTS
    for options in ({hop: padding}, {destination: padding}, {hop: padding, destination: longer}):
        with open_socket(socket.SOCK_DGRAM, CLIENTS6[4]) as sock:
            for option, header in options.items():
                sock.setsockopt(socket.IPPROTO_IPV6, option, header)
            for _ in range(2):
                sock.sendto(b"with options", ("2001:db8:7::7", 7))
                sock.recv(64)


def main():
    chance = random.Random(SEED)
    dns(chance)
    udp_echo(chance)
    tcp_echo(chance)
    closed_ports()
    multicast()
    ipv6_options()


main()
