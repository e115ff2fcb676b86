/** Devices as helpers see them: which there are says the host, what they are like the network of the run. */
import type { Kernel } from "../kern/kernel.ts";
import type { NetDevice } from "../kern/network.ts";
import { PROG_TYPE } from "../kern/prog.ts";
import { RUN_CURRENT } from "../kern/run_record.ts";
import { BPF_PROG_TYPE_XDP } from "../uapi/index.ts";

const ETHERNET_MTU = 1500;
const NO_MAC = new Uint8Array(6);

/** The device, or undefined. One that nothing is said of is an Ethernet that forwards. */
export function deviceAt(kernel: Kernel, ifindex: number): NetDevice | undefined {
  if (!kernel.deviceExists(ifindex)) return undefined;
  const given = kernel.scene.network.devices.find((device) => device.ifindex === ifindex);
  return given ?? { ifindex, mtu: ETHERNET_MTU, mac: NO_MAC, forwarding: true };
}

/** Whether the program under way sees its packet as struct xdp_md, not as struct __sk_buff. */
export function seesXdp({ mem, run }: Kernel): boolean {
  const { u32 } = mem;
  return u32[(u32[(run + RUN_CURRENT) >>> 2]! + PROG_TYPE) >>> 2] === BPF_PROG_TYPE_XDP;
}
