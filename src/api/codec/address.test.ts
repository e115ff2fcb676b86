import { isIPv6 } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { aligned, CodecError, ipv4, ipv6, mac } from "./index.ts";

test("ipv4 is in network order", () => {
  expect([...ipv4.encode("10.0.0.1")]).toEqual([10, 0, 0, 1]);
  expect([...ipv4.encode("255.254.253.0")]).toEqual([255, 254, 253, 0]);
  expect(ipv4.decode(Uint8Array.of(192, 168, 1, 200))).toBe("192.168.1.200");
});

test.each([
  "",
  "1.2.3",
  "1.2.3.4.5",
  "1.2.3.256",
  "1.2.3.04",
  "1.2.3.a",
  "1..2.3",
  " 1.2.3.4",
  "1.2.3.4 ",
  "1.2.3.1000",
])("%j is no IPv4 address", (text) => {
  expect(() => ipv4.encode(text)).toThrow(CodecError);
});

test.each([
  ["::", "::"],
  ["::1", "::1"],
  ["1::", "1::"],
  ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
  ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
  ["1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0"],
  ["0001:0020:0300:4000:0:5:6:7", "1:20:300:4000:0:5:6:7"],
  ["::ffff:1.2.3.4", "::ffff:1.2.3.4"],
  ["::FFFF:102:304", "::ffff:1.2.3.4"],
  ["64:ff9b::1.2.3.4", "64:ff9b::102:304"],
  ["1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"],
  ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
])("ipv6 %s is %s", (text, canonical) => {
  expect(ipv6.decode(ipv6.encode(text))).toBe(canonical);
});

test.each([
  "",
  ":",
  ":::",
  "1",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "1::2::3",
  "1:2:3:4::5:6:7:8",
  "12345::",
  "g::",
  ":1",
  "1:",
  "1:2:3:4:5:6:7:1.2.3.4",
  "1.2.3.4::",
  "::1.2.3",
  "::1.2.3.4.5",
  "::1.2.3.4:5",
  "fe80::1%eth0",
  "1.2.3.4",
])("%j is no IPv6 address", (text) => {
  expect(isIPv6(text.replace(/%.*/, "")) && !text.includes("%")).toBe(false);
  expect(() => ipv6.encode(text)).toThrow(CodecError);
});

test("ipv6: Node agrees on what an address is, and every address comes back", () => {
  const group = fc.oneof(fc.constant(0), fc.nat(0xffff));
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const bytes = Uint8Array.from(groups.flatMap((g) => [g >> 8, g & 0xff]));
      const text = ipv6.decode(bytes);
      expect(isIPv6(text)).toBe(true);
      expect(ipv6.encode(text)).toEqual(bytes);
      // The URL parser prints RFC 5952 too, but dots never.
      if (!text.includes(".")) expect(new URL(`http://[${text}]`).hostname).toBe(`[${text}]`);
    }),
  );
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9a-f:.]{1,20}$/), (text) => {
      const taken = (() => {
        try {
          return ipv6.encode(text) !== undefined;
        } catch {
          return false;
        }
      })();
      expect(taken).toBe(isIPv6(text));
    }),
    { numRuns: 2000 },
  );
});

test("mac", () => {
  expect([...mac.encode("02:00:5E:10:00:ff")]).toEqual([2, 0, 0x5e, 0x10, 0, 0xff]);
  expect([...mac.encode("02-00-5e-10-00-ff")]).toEqual([2, 0, 0x5e, 0x10, 0, 0xff]);
  expect(mac.decode(Uint8Array.of(2, 0, 0x5e, 0x10, 0, 0xff))).toBe("02:00:5e:10:00:ff");
  for (const text of ["", "02:00:5e:10:00", "02:00:5e:10:00:0g", "02:00-5e:10:00:01", "02:00:5e:10:00:01:02"]) {
    expect(() => mac.encode(text)).toThrow(CodecError);
  }
});

test("messages show the value and how to write it", () => {
  expect(() => ipv4.encode("10.0.0")).toThrow('value: "10.0.0" is no IPv4 address; write four numbers as "10.0.0.1"');
  expect(() => ipv6.encode("fe80::1%eth0")).toThrow("leave out the zone");
  expect(() => ipv4.encode(1 as never)).toThrow('ipv4 takes text as "10.0.0.1", found 1');
});

test("an address in a __u8 array has alignment 1", () => {
  const unaligned = aligned(ipv6, 1);
  expect([ipv6.align, unaligned.align, unaligned.size]).toEqual([4, 1, 16]);
  expect(unaligned.decode(unaligned.encode("::1"))).toBe("::1");
  expect(() => aligned(ipv6, 3)).toThrow("align: an alignment of 3; it is a power of two from 1 to 4096");
});
