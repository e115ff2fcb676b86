/** Memory of the embedded host that its users own: a piece of the linear memory each. */
import { InputError } from "../errors.ts";
import type { Kernel } from "../kern/kernel.ts";
import { alloc, free, memoryUse, POOL_USER } from "../mem/alloc.ts";
import type { UserBuffer, UserMemory } from "./host.ts";

/** The host has ended, or it is not the caller's turn. */
export function refuse(): never {
  throw new InputError(
    "this embedded host was disposed of: create another with createEmbeddedHost() (or it is an observer's turn, which must not use the host)",
  );
}

export class EmbeddedMemory implements UserMemory {
  readonly #kernel: Kernel;
  #open = true;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** No more is handed out. What is out can be given back still: the memory may have other clients. */
  end(): void {
    this.#open = false;
  }

  alloc(bytes: number): UserBuffer {
    if (!this.#open) refuse();
    const { mem } = this.#kernel;
    const size = Math.max(bytes, 1);
    const address = Number.isSafeInteger(bytes) && bytes >= 0 ? alloc(mem, size, POOL_USER) : 0;
    if (address === 0) {
      const { free: left } = memoryUse(mem);
      throw new RangeError(
        `no room for ${bytes} bytes of user memory: ${left} are free; give the host more \`memory\``,
      );
    }
    let live = true;
    return {
      address: BigInt(address),
      bytes: mem.u8.subarray(address, address + bytes),
      free: () => {
        if (live) free(mem, address, size, POOL_USER);
        live = false;
      },
    };
  }

  addressOf(view: ArrayBufferView): number {
    return view.buffer === this.#kernel.mem.wasm.buffer ? view.byteOffset : -1;
  }
}
