// A descriptor is a table of stated positions. Reading it costs a shift and a mask; a mistake in it throws at load.
import { bit, bits, decode, getAddress, layout, LayoutError, setAddress, setAt, wide } from '@doorbell/bits';

const STE = layout('STE', 'IHI 0070 §5.2', 0, 512, {
  V: bit(0),
  Config: bits(3, 1, { is: { 0: 'ABORT', 4: 'BYPASS', 5: 'S1', 6: 'S2', 7: 'NESTED' } }),
  S1ContextPtr: wide(55, 6),
  EATS: bits(93, 92),
});

const memory = new Uint32Array(64);
const at = 16; // the second entry, in 32-bit words
setAt(memory, at, STE.V, 1);
setAt(memory, at, STE.Config, 5);
setAddress(memory, at, STE.S1ContextPtr, 0x12_3456_7fc0);
console.log(decode(STE, memory, at));
console.log(`its context descriptors are at 0x${getAddress(memory, at, STE.S1ContextPtr).toString(16)}`);

try {
  layout('STE', 'IHI 0070 §5.2', 0, 512, { V: bit(0), Config: bits(3, 0) });
} catch (e) {
  if (!(e instanceof LayoutError)) throw e;
  console.log(`refused: ${e.message}`);
}
