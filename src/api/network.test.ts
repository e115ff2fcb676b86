import { expect, test } from "vitest";
import { InputError } from "../errors.ts";
import { networkOf } from "./network.ts";

test("addresses of both families, prefixes, ports", () => {
  const { routes, sockets, neighbours, devices } = networkOf({
    devices: [{ ifindex: 7, mac: "02:00:00:00:00:0a" }],
    routes: [
      { to: "10.1.0.0/16", ifindex: 7, via: "2001:db8::2" },
      { to: "2001:db8:1::/48", ifindex: 7 },
      { to: "::/0", type: "blackhole" },
      { to: "192.0.2.9", ifindex: 7 },
    ],
    neighbours: [{ address: "::ffff:10.0.0.1", ifindex: 7, mac: "ff:ff:ff:ff:ff:ff" }],
    sockets: [{ protocol: "tcp", local: "[::1]:80", remote: "[1:2:3:4:5:6:7:8]:65535" }],
  });
  expect(devices.map(({ ifindex, mtu }) => [ifindex, mtu])).toEqual([
    [1, 65536],
    [7, 1500],
  ]);
  expect(devices[1]!.mac).toEqual(Uint8Array.of(2, 0, 0, 0, 0, 10));
  expect(routes.map(({ bits, destination }) => [bits, destination.length])).toEqual([
    [16, 4],
    [48, 16],
    [0, 16],
    [32, 4],
  ]);
  expect(routes[0]!.gateway).toEqual(Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2));
  expect(neighbours[0]!.address).toEqual(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1));
  expect(sockets[0]).toMatchObject({ localPort: 80, remotePort: 65535 });
  expect(sockets[0]!.remote).toEqual(Uint8Array.of(0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8));
});

test.each([
  ["10.1.0.0/33", "33 bits"],
  ["10.1.0/8", "no IPv4"],
  ["10.1.0.256", "no IPv4"],
  ["1::2::3", "no IPv4"],
  ["1:2:3:4:5:6:7", "no IPv4"],
  ["1:2:3:4:5:6:7:8:9", "no IPv4"],
  ["12345::", "no IPv4"],
])("a route to %s is refused", (to, why) => {
  expect(() => networkOf({ routes: [{ to, ifindex: 1 }] })).toThrow(InputError);
  expect(() => networkOf({ routes: [{ to, ifindex: 1 }] })).toThrow(why);
});

test("what else is refused", () => {
  expect(() => networkOf({ routes: [{ to: "10.0.0.0/8" }] })).toThrow("no device");
  expect(() => networkOf({ devices: [{ ifindex: 1, mac: "02:00" }] })).toThrow("MAC");
  expect(() => networkOf({ sockets: [{ protocol: "udp", local: "10.0.0.1" }] })).toThrow("address:port");
  expect(() => networkOf({ sockets: [{ protocol: "udp", local: "10.0.0.1:1", remote: "[::1]:1" }] })).toThrow(
    "two families",
  );
});
