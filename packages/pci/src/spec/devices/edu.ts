import { bit, bits, layout } from '@doorbell/bits';

/** QEMU's educational device: BAR0 of 1 MiB, as docs/specs/edu and hw/misc/edu.c of QEMU 7.2 have it. */
const REF = 'QEMU docs/specs/edu';

export const EDU_IDS = { vendor: 0x1234, device: 0x11e8, revision: 0x10, classCode: 0x00ff00 } as const;
export const EDU_BAR_SIZE = 0x10_0000;
/** The device's own buffer, as DMA addresses it. */
export const EDU_BUFFER = 0x40000;
export const EDU_BUFFER_SIZE = 4096;
/** Bits of the interrupt status that the device itself sets. */
export const EDU_FACTORIAL_IRQ = 0x0000_0001;
export const EDU_DMA_IRQ = 0x0000_0100;

export const EDU_ID = layout('Identification', REF, 0x00, 32, {
  Major: bits(31, 24, { access: 'ro', reset: 1 }),
  Minor: bits(23, 16, { access: 'ro' }),
  Magic: bits(7, 0, { access: 'ro', reset: 0xed }),
});
/** Reads as the complement of what was written. */
export const EDU_LIVENESS = layout('Card liveness check', REF, 0x04, 32, { Value: bits(31, 0) });
/** Writing n starts computing n! modulo 2^32. */
export const EDU_FACTORIAL = layout('Factorial', REF, 0x08, 32, { Value: bits(31, 0) });
export const EDU_STATUS = layout('Status', REF, 0x20, 32, {
  RaiseAfterFactorial: bit(7),
  Computing: bit(0, { access: 'ro' }),
});
export const EDU_IRQ_STATUS = layout('Interrupt status', REF, 0x24, 32, { Value: bits(31, 0, { access: 'ro' }) });
export const EDU_IRQ_RAISE = layout('Interrupt raise', REF, 0x60, 32, { Value: bits(31, 0, { access: 'wo' }) });
export const EDU_IRQ_ACK = layout('Interrupt acknowledge', REF, 0x64, 32, { Value: bits(31, 0, { access: 'wo' }) });
export const EDU_DMA_SOURCE = layout('DMA source address', REF, 0x80, 64, { Lo: bits(31, 0), Hi: bits(63, 32) });
export const EDU_DMA_DESTINATION = layout('DMA destination address', REF, 0x88, 64, {
  Lo: bits(31, 0),
  Hi: bits(63, 32),
});
export const EDU_DMA_COUNT = layout('DMA transfer count', REF, 0x90, 64, { Lo: bits(31, 0), Hi: bits(63, 32) });
export const EDU_DMA_COMMAND = layout('DMA command', REF, 0x98, 64, {
  Irq: bit(2),
  ToMemory: bit(1, { is: { 0: 'memory to device', 1: 'device to memory' } }),
  Run: bit(0),
});
