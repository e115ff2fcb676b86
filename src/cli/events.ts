/** What programs did to the outside, such as lines that they printed and where packets go: for the report. */
import type { AnyMap } from "../api/any_map.ts";
import { toHex } from "../api/hex.ts";
import type { RunEvent } from "../kern/scene.ts";
import { xdpActionNames } from "../uapi/index.ts";

/** An event, and the run that it belongs to, counted from 1. Bytes are hex, maps are named. */
export type EventReport = { readonly run: number; readonly kind: RunEvent["kind"]; readonly text: string } & Readonly<
  Record<string, unknown>
>;

/** Events that a report has at most: captures can be long. */
const KEPT = 100_000;
/** Lines of them that people are shown. */
const SHOWN = 16;

export class Events {
  readonly #kept: EventReport[] = [];
  readonly #names: ReadonlyMap<number, string>;
  #omitted = 0;

  constructor(maps: Iterable<readonly [string, AnyMap]>) {
    this.#names = new Map(Array.from(maps, ([name, map]) => [map.id, name]));
  }

  add(run: number, events: readonly RunEvent[]): void {
    for (const event of events) {
      if (this.#kept.length < KEPT) this.#kept.push(this.#report(run, event));
      else this.#omitted++;
    }
  }

  /** All that was kept. */
  list(): readonly EventReport[] {
    return this.#kept;
  }

  /** A title, what happened, and how often, most frequent first; equal ones in the order in which they came. Nothing: no line. */
  lines(): string[] {
    const counts = new Map<string, number>();
    for (const { kind, text } of this.#kept) {
      const line = `${kind}  ${text}`;
      counts.set(line, (counts.get(line) ?? 0) + 1);
    }
    const all = [...counts].sort(([, a], [, b]) => b - a);
    const lines = all.slice(0, SHOWN).map(([line, n]) => `  ${n} x ${line}`);
    if (all.length > SHOWN) lines.push(`  ... and ${all.length - SHOWN} more (--json has all)`);
    if (this.#omitted > 0) lines.push(`  (${this.#omitted} events beyond the first ${KEPT} are left out)`);
    return lines.length === 0 ? [] : ["events", ...lines];
  }

  #report(run: number, event: RunEvent): EventReport {
    const text = this.#text(event);
    switch (event.kind) {
      case "redirect_map":
        return { run, ...event, map: this.#mapName(event.map), text };
      case "clone_redirect":
      case "xdp_frame":
        return { run, ...event, data: toHex(event.data), text };
      case "redirect":
      case "redirect_peer":
      case "redirect_neigh":
        return { run, ...event, nextHop: event.nextHop && toHex(event.nextHop), text };
      case "tunnel_key": {
        const { source, destination } = event.key;
        return { run, ...event, key: { ...event.key, source: toHex(source), destination: toHex(destination) }, text };
      }
      default:
        return { run, ...event, text };
    }
  }

  #mapName(id: number): string {
    return this.#names.get(id) ?? `map ${id}`;
  }

  #text(event: RunEvent): string {
    switch (event.kind) {
      case "printk":
        return event.text.trimEnd();
      case "redirect_map":
        return `to ${this.#mapName(event.map)}[${event.key}]${flags(event.flags)}`;
      case "redirect":
      case "redirect_peer":
      case "redirect_neigh":
        return toDevice(event);
      case "clone_redirect":
        return `${toDevice(event)}, ${event.data.length} bytes`;
      case "xdp_frame":
        return `${xdpActionNames[event.verdict] ?? event.verdict}, ${event.data.length} bytes`;
      case "tunnel_key":
        return `${event.key.id} to ${toHex(event.key.destination)}`;
      case "sk_assign":
        return event.socket === undefined ? "none" : `socket ${event.socket}`;
      case "signal":
        return `${event.signal} to the ${event.thread ? "thread" : "process"}`;
      case "msg_apply_bytes":
      case "msg_cork_bytes":
        return String(event.bytes);
      case "sysctl_set_new_value":
        return event.value;
      case "override_return":
        return String(BigInt.asIntN(64, event.value));
    }
  }
}

function toDevice({ ifindex, ingress }: { readonly ifindex: number; readonly ingress: boolean }): string {
  return `${ingress ? "into" : "to"} device ${ifindex}`;
}

function flags(bits: number): string {
  return bits === 0 ? "" : `, flags 0x${bits.toString(16)}`;
}
