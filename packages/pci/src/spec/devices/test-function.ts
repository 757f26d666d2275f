import { bit, bits, layout } from '@doorbell/bits';

/** Doorbell's function under software's complete control: it sends what its registers say, forged messages included. */
const REF = 'Doorbell test function';

export const TEST_IDS = { vendor: 0x1b36, device: 0x0d0c, revision: 1, classCode: 0x00ff00 } as const;
export const TEST_BAR_SIZE = 0x1000;

export const TEST_ADDRESS_LO = layout('Address low', REF, 0x00, 32, { Address: bits(31, 0) });
export const TEST_ADDRESS_HI = layout('Address high', REF, 0x04, 32, { Address: bits(31, 0) });
/** What a write sends; what a read brought. */
export const TEST_DATA = layout('Data', REF, 0x08, 32, { Data: bits(31, 0) });
/** Starts one DMA access of 4 bytes. */
export const TEST_GO = layout('Go', REF, 0x0c, 32, {
  /** A requester id other than its own: what a faulty or malicious function does. */
  Requester: bits(31, 16),
  SpoofRequester: bit(8),
  UsePasid: bit(7),
  Kind: bits(5, 4, { is: { 0: 'untranslated', 1: 'translation request', 2: 'translated' } }),
  Write: bit(1),
  Read: bit(0),
});
export const TEST_PASID = layout('PASID', REF, 0x10, 32, { Pasid: bits(19, 0) });
/** An event of this vector happens. */
export const TEST_FIRE = layout('Fire', REF, 0x14, 32, { Vector: bits(15, 0) });
/** The cause of this vector goes away: its pending bit clears. */
export const TEST_WITHDRAW = layout('Withdraw', REF, 0x18, 32, { Vector: bits(15, 0) });
export const TEST_RESULT = layout('Result of the last access', REF, 0x1c, 32, {
  Landed: bit(31, { access: 'ro' }),
  Done: bits(23, 8, { access: 'ro', doc: 'accesses completed, modulo 65536' }),
  Verdict: bits(2, 0, { access: 'ro', is: { 0: 'translated', 1: 'bypass', 2: 'fault', 3: 'interrupt' } }),
});
export const TEST_INTX = layout('INTx', REF, 0x20, 32, { Assert: bit(0) });
