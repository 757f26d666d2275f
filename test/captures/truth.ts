import type { Answer, Question, Session } from '@doorbell/inspect';
import { questionOf } from '@doorbell/inspect';

/** One fact of a truth.json as a question, and what the answer must be in the fact's own fields. */
export interface Fact {
  readonly kind: string;
  readonly question: Question;
  /** What the answer says of it. */
  readonly said: (answer: Answer) => unknown;
  readonly expected: unknown;
  readonly source: unknown;
}

/** What cannot be asked as a DMA or a message, by kind: checked against the restored state. */
export interface StateFact {
  readonly kind: string;
  /** An empty string, or what disagrees. */
  readonly check: (session: Session) => string;
}

export interface Truth {
  readonly total: number;
  readonly facts: readonly Fact[];
  readonly states: readonly StateFact[];
}

type Json = Readonly<Record<string, unknown>>;

/** Either form of truth.json. Errors: on kinds and sections that nobody has heard of. */
export function readTruth(value: unknown): Truth {
  const truth = value as Json;
  return Array.isArray(truth['facts']) ? listTruth(truth) : armTruth(truth);
}

/** x86 captures: one list of facts. */
function listTruth(truth: Json): Truth {
  const list = truth['facts'] as Json[];
  const facts: Fact[] = [];
  const states: StateFact[] = [];
  for (const f of list) {
    const fact = oneOf(f);
    facts.push(fact);
    if (f['kind'] === 'content') states.push(contentOf(f, fact.question));
  }
  return { total: list.length, facts, states };
}

const DELIVERY = ['fixed', 'lowest-priority', 'smi', 'reserved', 'nmi', 'init', 'reserved', 'extint'];

function oneOf(f: Json): Fact {
  const { kind, requester, iova } = f as Record<string, string>;
  const base = { kind: kind!, source: f };
  const dma = (access: string) => questionOf({ dma: { requester, iova, access } });
  const msi = () => questionOf({ msi: { requester, ...(f['msi'] as Json) } });
  switch (kind) {
    case 'translation':
      return {
        ...base,
        question: dma((f['perm'] as string).includes('r') ? 'read' : 'write'),
        said: (a) => (a.verdict === 'translated' ? [a.pa, a.permissions, a.pageSize] : a.verdict),
        expected: [f['pa'], f['perm'], f['page_size']],
      };
    case 'bypass':
      return {
        ...base,
        question: dma('read'),
        said: (a) => (a.verdict === 'bypass' ? a.pa : a.verdict),
        expected: iova,
      };
    case 'content':
      return { ...base, question: dma('read'), said: (a) => a.verdict, expected: 'translated' };
    case 'dma-fault':
      return {
        ...base,
        question: dma(f['access'] === 'w' ? 'write' : 'read'),
        said: (a) => (a.verdict === 'fault' ? (f['reason'] === undefined ? a.fault.name : a.fault.code) : a.verdict),
        expected: f['reason'] ?? f['event'],
      };
    case 'msi': {
      const { vector, dest, destmode, delivery } = f['delivers'] as Json;
      return {
        ...base,
        question: msi(),
        said: (a) => {
          if (a.verdict !== 'delivered') return a.verdict;
          const { vector: v, destination, destinationMode, deliveryMode } = a.interrupt;
          return [v, destination, destinationMode, DELIVERY.indexOf(String(deliveryMode))];
        },
        expected: [vector, dest, destmode, delivery],
      };
    }
    case 'msi-fault':
      return {
        ...base,
        question: msi(),
        said: (a) => (a.verdict === 'blocked' ? a.fault.code : a.verdict),
        expected: f['reason'],
      };
    default:
      throw new Error(`truth.json has facts of kind ${String(kind)}, which this test does not know`);
  }
}

/** Text that the guest wrote, found again through the translation. */
const contentOf = (f: Json, question: Question): StateFact => ({
  kind: 'content',
  check({ explain, memory }) {
    const answer = explain(question);
    if (answer.verdict !== 'translated') return answer.verdict;
    const text = f['ascii'] as string;
    const bytes = new Uint8Array(text.length);
    memory.readBytes(Number(answer.pa), bytes);
    const found = new TextDecoder().decode(bytes);
    return found === text ? '' : `${found} instead of ${text}`;
  },
});

const REFUSALS: Readonly<Record<string, string>> = {
  'event-out-of-range': 'EVENT_OUT_OF_RANGE',
  'unmapped-event': 'UNMAPPED_EVENT',
  'unmapped-device': 'UNMAPPED_DEVICE',
  'device-out-of-range': 'DEVICE_OUT_OF_RANGE',
  'unmapped-collection': 'UNMAPPED_COLLECTION',
};

/** Sections that carry facts, and those that describe the capture. */
const DESCRIPTIVE = ['capture', 'note', 'smmu', 'eventTotals', 'footprint4kPages', 'factCount', 'crossCheck'];

/** Arm captures: one section for each kind of fact. */
function armTruth(truth: Json): Truth {
  const facts: Fact[] = [];
  const states: StateFact[] = [];
  const section = (name: string): Json[] => (truth[name] as Json[] | undefined) ?? [];
  const dma = (f: Json, iova: unknown, access: string) =>
    questionOf({ dma: { requester: f['streamId'], iova, access } });
  for (const s of section('streams')) {
    const words = [...(s['ste'] as string[]), ...((s['cd'] as string[] | undefined) ?? [])];
    facts.push({
      kind: 'streams',
      source: s,
      question: dma(s, '0x0', 'read'),
      said: (a) =>
        [...quads(a, 'STE', (s['ste'] as string[]).length), ...(s['cd'] ? quads(a, 'CD', 8) : [])].slice(
          0,
          words.length,
        ),
      expected: words,
    });
  }
  for (const t of section('translations')) {
    const writes = (t['perm'] as string).includes('w');
    facts.push({
      kind: 'translations',
      source: t,
      question: dma(t, t['iova'], writes ? 'write' : 'read'),
      said: (a) => (a.verdict === 'translated' ? [a.pa, a.pageSize, a.permissions] : a.verdict),
      expected: [t['pa'], t['size'], t['perm']],
    });
  }
  for (const b of [...section('bypass')])
    facts.push({
      kind: 'bypass',
      source: b,
      question: dma(b, b['iova'] ?? '0x1000', 'read'),
      said: (a) => a.verdict,
      expected: 'bypass',
    });
  for (const f of section('faults'))
    facts.push({
      kind: 'faults',
      source: f,
      question: dma(f, f['iova'], f['access'] as string),
      said: (a) =>
        a.verdict !== 'fault' ? a.verdict : f['silent'] ? (a.recorded ? 'recorded' : f['result']) : a.fault.name,
      expected: f['result'],
    });
  for (const r of section('deviceRegisters'))
    facts.push({
      kind: 'deviceRegisters',
      source: r,
      question: dma(r, r['iova'], 'read'),
      said: (a) => (a.verdict === 'translated' ? a.pa : a.verdict),
      expected: r['result'],
    });
  for (const m of section('msi'))
    facts.push({
      kind: 'msi',
      source: m,
      question: questionOf({ msi: { requester: m['device'], ...(m['msi'] as Json) } }),
      said: (a) => {
        if (a.verdict !== 'delivered') return a.verdict === 'blocked' ? a.fault.name : a.verdict;
        const { controller, deviceId, eventId, intid, collection, cpu } = a.interrupt;
        return controller === 'gicv2m' ? [intid, cpu] : [deviceId, eventId, intid, collection, cpu];
      },
      expected:
        m['spi'] !== undefined
          ? [m['spi'], m['targetCpu']]
          : m['result'] !== undefined
            ? m['result']
            : m['lpiEnabled']
              ? [Number(m['deviceId']), m['eventId'], m['lpi'], m['collection'], m['targetCpu']]
              : 'LPI_DISABLED',
    });
  for (const e of section('events')) states.push(eventOf(e, truth));
  const its = truth['its'] as { mappings?: Json[]; deviceTable?: unknown } | undefined;
  for (const m of its?.mappings ?? []) states.push(mappingOf(m));
  const known = [
    ...DESCRIPTIVE,
    'streams',
    'translations',
    'staleIotlb',
    'bypass',
    'faults',
    'events',
    'msi',
    'its',
    'deviceRegisters',
  ];
  const unknown = Object.keys(truth).filter((k) => !known.includes(k));
  if (unknown.length > 0)
    throw new Error(`truth.json has sections ${unknown.join(', ')}, which this test does not know`);
  return { total: truth['factCount'] as number, facts, states };
}

/** Quadwords of a structure that the walk read. */
function quads(answer: Answer, what: string, count: number): string[] {
  const words = answer.steps.find((s) => s.what === what)?.words ?? [];
  return Array.from({ length: count }, (_, i) => words[2 * i + 1]! + words[2 * i]!.slice(2));
}

/** A record that the kernel left in the event queue. */
const eventOf = (e: Json, truth: Json): StateFact => ({
  kind: 'events',
  check({ memory }) {
    const { eventQueue } = truth['smmu'] as { eventQueue: { address: string } };
    const at = Number(eventQueue.address) + 32 * (e['index'] as number);
    const found = [0, 8, 16, 24].map((o) => (BigInt(memory.read32(at + o + 4)) << 32n) | BigInt(memory.read32(at + o)));
    const raw = (e['raw'] as string[]).map(BigInt);
    return found.every((q, i) => q === raw[i]) ? '' : `record ${String(e['index'])} differs`;
  },
});

/** What the ITS does with an event whoever sends it: no IOMMU is asked. */
const mappingOf = (m: Json): StateFact => ({
  kind: 'its.mappings',
  check({ platform }) {
    let said: unknown = 'nothing';
    const heard = listeners(platform);
    heard.length = 0;
    const its = platform.allNodes.find((n) => n.compatible === 'arm,gic-v3-its')!;
    platform.bus.deviceWrite32(its.reg![0]!.base + 0x10040, m['eventId'] as number, Number(m['deviceId']));
    said = heard[0];
    const expected = m['error']
      ? REFUSALS[m['error'] as string]
      : m['enabled']
        ? [m['lpi'], m['collection'], m['targetCpu']]
        : 'LPI_DISABLED';
    return JSON.stringify(said) === JSON.stringify(expected)
      ? ''
      : `${JSON.stringify(said)} instead of ${JSON.stringify(expected)}`;
  },
});

const heardOn = new WeakMap<object, unknown[]>();
function listeners(platform: Session['platform']): unknown[] {
  let heard = heardOn.get(platform);
  if (!heard) {
    const list: unknown[] = (heard = []);
    heardOn.set(platform, list);
    platform.hooks.delivered.tap('truth', (d) => void list.push([d['intid'], d['collection'], d['cpu']]));
    platform.hooks.refused.tap('truth', (r) => void list.push(r.name));
  }
  return heard;
}
