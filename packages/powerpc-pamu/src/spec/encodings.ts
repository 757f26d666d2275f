/** 2^(n + 1): a power at run time costs more than the rest of a walk. */
const POWERS = Float64Array.from({ length: 64 }, (_, n) => 2 ** (n + 1));

/** WSE and SWSE: size = 2^(encoding + 1); 4 KiB is 0x0B (A5). */
export const sizeOf = (encoding: number): number => POWERS[encoding]!;
export const encodeSize = (size: number): number => Math.log2(size) - 1;
export const SMALLEST = 4096;

/** WCE: sub-windows = 2^(WCE + 1); one cannot be encoded (A5). */
export const countOf = (wce: number): number => POWERS[wce]!;
export const encodeCount = (count: number): number => Math.log2(count) - 1;

/** AP, whose bits are those of READ and WRITE. */
export const AP = { denied: 0, query: 1, update: 2, all: 3 } as const;
export const ATM = { none: 0, window: 1 } as const;
export const OTM = { none: 0, immediate: 1, indexed: 2 } as const;

/** Ingress operations by index (A6). */
export const IOE = { read: 0x00, write: 0x01 } as const;
/** An operation of the table or of an entry counts when this bit is set (A6). */
export const OPERATION_VALID = 0x80;
export const OME_SIZE = 128;

/** LIODNs have 12 bits (A9). */
export const LIODNS = 4096;
