import type { IommuCore } from '@doorbell/iommu';
import type { MsiLab } from './probe.js';

/** Everything that a failed plan must leave alone: memory, every model's state, every allocator. */
export function fingerprint(lab: MsiLab & { readonly iommu?: IommuCore }): string {
  const { memoryModel } = lab.platform;
  const { models } = lab.platform.snapshot();
  return [memoryModel.digest(), canonical(models), lab.iommu?.digest() ?? '', lab.interrupts.digest()].join('\n');
}

/** Typed arrays by content, keys in order. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, v: unknown) => {
    if (v instanceof Map) return [...(v as Map<unknown, unknown>).entries()];
    if (v instanceof Set) return [...(v as Set<unknown>)];
    if (ArrayBuffer.isView(v)) return digest(new Uint8Array(v.buffer, v.byteOffset, v.byteLength));
    return v;
  });
}

function digest(bytes: Uint8Array): string {
  let h = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return `${bytes.length}:${(h >>> 0).toString(16)}`;
}
