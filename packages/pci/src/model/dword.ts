import { layout, bits, type AnyField, type Layout } from '@doorbell/bits';

const made = new Map<string, Layout>();

/** A register whose writable bits depend on the function: one dword with `mask` writable and the rest read-only. */
export function dword(name: string, mask: number): Layout {
  const key = `${name}/${mask >>> 0}`;
  let found = made.get(key);
  if (found) return found;
  const table: Record<string, AnyField> = {};
  for (let lo = 0; lo < 32; ) {
    const value = (mask >>> lo) & 1;
    let hi = lo;
    while (hi < 31 && ((mask >>> (hi + 1)) & 1) === value) hi++;
    table[`${value ? 'Value' : 'Fixed'}${lo}`] = bits(hi, lo, { access: value ? 'rw' : 'ro' });
    lo = hi + 1;
  }
  made.set(key, (found = layout(name, 'PCI 3.0 §6.8.1', 0, 32, table)));
  return found;
}
