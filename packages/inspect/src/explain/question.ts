import { refuse } from '../errors.js';

export type Access = 'read' | 'write' | 'execute';

/** What somebody wants to know: where a DMA goes, or where a message goes. Addresses are split; `requester` is as it was typed. */
export type Question =
  | {
      readonly kind: 'dma';
      readonly requester: string;
      readonly iova: bigint;
      readonly access: Access;
      readonly pasid: number | null;
    }
  | { readonly kind: 'msi'; readonly requester: string; readonly address: bigint; readonly data: number };

const bad = (what: string, remedy: string): Error => refuse('BAD_QUESTION', what, remedy);

/** A batch line's object. Errors: `BAD_QUESTION` naming the field. */
export function questionOf(value: unknown): Question {
  if (!isObject(value)) throw bad('a question is an object', 'write {"dma":{…}} or {"msi":{…}}');
  const { dma, msi } = value;
  if (isObject(dma) === isObject(msi)) throw bad('neither dma nor msi, or both', 'write {"dma":{…}} or {"msi":{…}}');
  if (isObject(dma)) {
    const access = dma['access'] ?? 'read';
    if (access !== 'read' && access !== 'write' && access !== 'execute')
      throw bad(`access is ${show(access)}`, 'it is read or write');
    const pasid = dma['pasid'] ?? null;
    return {
      kind: 'dma',
      requester: text(dma, 'requester'),
      iova: wide(dma['iova'], 'iova'),
      access,
      pasid: pasid === null ? null : narrow(pasid, 'pasid', 20),
    };
  }
  const m = msi as Record<string, unknown>;
  return {
    kind: 'msi',
    requester: text(m, 'requester'),
    address: wide(m['address'], 'address'),
    data: narrow(m['data'], 'data', 32),
  };
}

/** One line of a batch file. Errors: `BAD_QUESTION`. */
export function parseLine(line: string): Question {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw bad(`no JSON: ${error instanceof Error ? error.message : String(error)}`, 'one object per line');
  }
  return questionOf(value);
}

function text(from: Record<string, unknown>, field: string): string {
  const value = from[field];
  if (typeof value !== 'string' || value === '')
    throw bad(`${field} is ${show(value)}`, 'a function, "ioapic", or an id as a hex string');
  return value;
}

function wide(value: unknown, field: string): bigint {
  const v =
    typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
      ? BigInt(value)
      : typeof value === 'string' && /^(?:0x[0-9a-f]{1,16}|\d{1,19})$/i.test(value)
        ? BigInt(value)
        : null;
  if (v === null || v >= 1n << 64n) throw bad(`${field} is ${show(value)}`, 'a hex string of at most 64 bits');
  return v;
}

function narrow(value: unknown, field: string, bits: number): number {
  const v = wide(value, field);
  if (v >= 1n << BigInt(bits)) throw bad(`${field} is ${show(value)}`, `it has at most ${bits} bits`);
  return Number(v);
}

const show = (value: unknown): string => (value === undefined ? 'missing' : JSON.stringify(value));
const isObject = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null && !Array.isArray(x);
