import { set } from '@doorbell/bits';
import { DoorbellError, type CpuPort } from '@doorbell/platform';
import { ABSENT, CONFIG_ADDRESS, CONFIG_ADDRESS_PORT, CONFIG_BYTES, CONFIG_DATA_PORT } from '../spec/index.js';

/** How software reaches configuration space: aligned dwords of a function. Absent functions answer all ones. */
export interface ConfigPort {
  readonly kind: 'ecam' | 'cf8';
  /** Bytes per function that it reaches. */
  readonly size: number;
  read(requester: number, offset: number): number;
  write(requester: number, offset: number, value: number): void;
}

/** ECAM: `base` is the address of bus `firstBus` (device trees count so; an MCFG table gives bus 0). */
export function ecamPort(cpu: CpuPort, base: number, firstBus: number, buses: number): ConfigPort {
  const at = (requester: number, offset: number): number => base + ((requester - (firstBus << 8)) * 4096 + offset);
  const has = (requester: number): boolean => requester >>> 8 >= firstBus && requester >>> 8 < firstBus + buses;
  return {
    kind: 'ecam',
    size: 4096,
    read: (requester, offset) => (has(requester) ? cpu.read32(at(requester, offset)) : ABSENT),
    write: (requester, offset, value) => {
      if (has(requester)) cpu.write32(at(requester, offset), value >>> 0);
    },
  };
}

/** Configuration mechanism #1: 256 bytes per function. Errors: `NO_PORT_IO`. */
export function cf8Port(cpu: CpuPort): ConfigPort {
  if (!('in32' in cpu) || !('out32' in cpu))
    throw new DoorbellError('NO_PORT_IO', 'this machine has no port I/O', 'reach configuration space through ECAM', {});
  const select = (requester: number, offset: number): void => {
    const enable = set(0, CONFIG_ADDRESS.Enable, 1);
    cpu.out32!(CONFIG_ADDRESS_PORT, (enable | (requester << 8) | (offset & 0xfc)) >>> 0);
  };
  return {
    kind: 'cf8',
    size: CONFIG_BYTES,
    read: (requester, offset) => {
      if (offset >= CONFIG_BYTES) return ABSENT;
      select(requester, offset);
      return cpu.in32!(CONFIG_DATA_PORT);
    },
    write: (requester, offset, value) => {
      if (offset >= CONFIG_BYTES) return;
      select(requester, offset);
      cpu.out32!(CONFIG_DATA_PORT, value >>> 0);
    },
  };
}
