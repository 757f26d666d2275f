import { bit, bits, layout } from '@doorbell/bits';

/**
 * Doorbell's multi-queue function: queue entries in NVMe's shape (NVM Express Base 1.4 §4.2, §4.6), queues set up by registers
 * of its own instead of admin commands.
 */
const REF = 'Doorbell nvme-like; entries: NVM Express Base 1.4';

export const NVME_IDS = { vendor: 0x1b36, device: 0x0d0b, revision: 1, classCode: 0x010802 } as const;
/** Registers of queue pair q start here, 0x20 bytes each. */
export const NVME_QUEUES = 0x1000;
export const NVME_QUEUE_STRIDE = 0x20;
export const SQE_SIZE = 64;
export const CQE_SIZE = 16;
/** Bytes per logical block. */
export const NVME_BLOCK = 512;

export const NVME_CAP = layout('Capabilities', REF, 0x00, 32, {
  Blocks: bits(31, 16, { access: 'ro', doc: 'size of the medium in blocks of 512 bytes' }),
  Queues: bits(15, 0, { access: 'ro' }),
});
export const NVME_SQ_LO = layout('SQ base low', REF, 0x00, 32, { Address: bits(31, 6) });
export const NVME_SQ_HI = layout('SQ base high', REF, 0x04, 32, { Address: bits(31, 0) });
export const NVME_CQ_LO = layout('CQ base low', REF, 0x08, 32, { Address: bits(31, 4) });
export const NVME_CQ_HI = layout('CQ base high', REF, 0x0c, 32, { Address: bits(31, 0) });
/** Setting Enable starts the pair afresh: heads and tails 0, phase 1. */
export const NVME_QUEUE = layout('Queue control', REF, 0x10, 32, {
  Enable: bit(31),
  InterruptEnable: bit(30),
  Vector: bits(26, 16),
  Size: bits(15, 0, { doc: 'entries minus one, of both queues' }),
});
export const NVME_SQ_TAIL = layout('SQ tail doorbell', REF, 0x14, 32, { Tail: bits(15, 0) });
export const NVME_CQ_HEAD = layout('CQ head doorbell', REF, 0x18, 32, { Head: bits(15, 0) });

export const SQE = layout('Submission queue entry', 'NVM Express Base 1.4 §4.2', 0, 512, {
  NumberOfBlocks: bits(399, 384, { doc: 'minus one' }),
  StartingBlock: bits(351, 320),
  Prp1Hi: bits(255, 224),
  Prp1Lo: bits(223, 192),
  CommandId: bits(31, 16),
  Opcode: bits(7, 0, { is: { 0: 'Flush', 1: 'Write', 2: 'Read' } }),
});
export const NvmeOpcode = { flush: 0, write: 1, read: 2 } as const;

export const CQE = layout('Completion queue entry', 'NVM Express Base 1.4 §4.6', 0, 128, {
  StatusCodeType: bits(123, 121),
  StatusCode: bits(120, 113),
  Phase: bit(112),
  CommandId: bits(111, 96),
  QueueId: bits(95, 80),
  SqHead: bits(79, 64),
});
/** Generic command status (§4.6.1.2.1). */
export const NvmeStatus = {
  success: 0,
  invalidOpcode: 1,
  invalidField: 2,
  dataTransferError: 4,
  lbaOutOfRange: 0x80,
} as const;
