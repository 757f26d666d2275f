import type { MsiOwner } from '@doorbell/irqchip';
import type { Platform } from '@doorbell/platform';

/**
 * Calls `between` around everything that a driver does to hardware: register accesses and ordered memory writes; and around the calls
 * of `owner`, who programs the device.
 */
export function betweenSteps(platform: Platform, between: () => void, body: () => void, owner?: MsiOwner): void {
  let inside = false;
  const step = () => {
    if (inside) return;
    inside = true;
    try {
      between();
    } finally {
      inside = false;
    }
  };
  const undo: (() => void)[] = [];
  const wrap = <K extends string>(target: Record<K, (...args: never[]) => unknown>, key: K) => {
    const own = Object.prototype.hasOwnProperty.call(target, key);
    const original = target[key];
    target[key] = (...args: never[]) => {
      step();
      const result = original.apply(target, args);
      step();
      return result;
    };
    undo.push(() => {
      if (own) target[key] = original;
      else delete (target as Partial<Record<K, unknown>>)[key];
    });
  };
  const { bus, memoryModel } = platform;
  wrap(bus as never, 'write32');
  wrap(bus as never, 'write64');
  wrap(memoryModel as never, 'write64');
  wrap(memoryModel as never, 'barrier');
  // Table entries are written one by one, so that there is a step between them.
  Object.defineProperty(memoryModel, 'direct', { value: undefined, configurable: true });
  undo.push(() => delete (memoryModel as { direct?: unknown }).direct);
  for (const call of owner ? ['maskAll', 'rewrite', 'unmaskAll'] : []) wrap(owner as never, call);
  try {
    body();
  } finally {
    for (const u of undo) u();
  }
}
