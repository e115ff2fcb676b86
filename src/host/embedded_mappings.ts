/** Mapped maps, by the views that were handed out. */
import type { Kernel } from "../kern/kernel.ts";
import { forgetView, type Mapping, mapMemory, unmap } from "../kern/mappings.ts";
import { EINVAL } from "../uapi/index.ts";
import type { MmapOptions } from "./host.ts";

interface View {
  readonly mapping: Mapping;
  readonly dropsViews: boolean;
  live: boolean;
}

/**
 * User space can make other views of the one that it was given, of which nothing tells when they are gone: so what was
 * mapped serves nothing else while the host is open, unless the caller said that it drops them.
 */
export class EmbeddedMappings {
  readonly #kernel: Kernel;
  readonly #views: WeakMap<Uint8Array, View> = new WeakMap();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  map(fd: number, { offset, length, prot, address: hint = 0n, dropsViews = false }: MmapOptions): Uint8Array | number {
    const mapping = mapMemory(this.#kernel, fd, { offset, length, prot, hint });
    if (typeof mapping === "number") return mapping;
    const bytes = new Uint8Array(this.#kernel.mem.wasm.buffer, mapping.address, mapping.length);
    this.#views.set(bytes, { mapping, dropsViews, live: true });
    return bytes;
  }

  mappedAt(bytes: Uint8Array): bigint {
    const view = this.#views.get(bytes);
    return view?.live === true ? view.mapping.userAddress : -1n;
  }

  /** `open`: the host is; else its end has ended all. */
  unmap(bytes: Uint8Array, open: boolean): number {
    const view = this.#views.get(bytes);
    if (view === undefined) return -EINVAL;
    if (!open) return 0;
    view.live = false;
    const { record } = view.mapping;
    if (view.dropsViews) {
      this.#views.delete(bytes);
      forgetView(this.#kernel, record);
    } else {
      unmap(this.#kernel, record);
    }
    return 0;
  }
}
