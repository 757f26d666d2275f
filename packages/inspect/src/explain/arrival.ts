type Interrupt = Readonly<Record<string, unknown>>;

/** What an interrupt is called where it arrives, and who takes it: "LPI 8194 to CPU 0". */
export function arrivalOf(interrupt: Interrupt): string {
  const { controller, vector, destinationMode, destination, intid, cpu } = textsOf(interrupt);
  if (controller === 'apic') return `vector ${vector} to ${destinationMode} destination ${destination}`;
  if (intid !== undefined) return `${Number(intid) >= FIRST_LPI ? 'LPI' : 'SPI'} ${intid} to CPU ${cpu}`;
  return `${vector === undefined ? controller : `vector ${vector}`} to CPU ${cpu}`;
}

/** The rest of what is known of a delivery, in the order of its fields. */
export function circumstancesOf(interrupt: Interrupt): string {
  const { controller, deliveryMode, triggerMode, ...rest } = textsOf(interrupt);
  if (controller === 'apic') return `${deliveryMode}, ${triggerMode}`;
  const left = Object.entries(rest).filter(([k]) => !TOLD.has(k));
  return left.map(([k, v]) => `${NAMES[k] ?? k} ${v}`).join(', ');
}

const textsOf = (interrupt: Interrupt): Record<string, string> =>
  Object.fromEntries(Object.entries(interrupt).map(([k, v]) => [k, String(v)]));

const FIRST_LPI = 8192;
/** By `arrivalOf`; and what is delivered is enabled. */
const TOLD = new Set(['intid', 'vector', 'cpu', 'enabled']);
const NAMES: Readonly<Record<string, string>> = { deviceId: 'DeviceID', eventId: 'EventID', msir: 'MSIR' };
