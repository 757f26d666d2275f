import { COMPATIBLE } from '@doorbell/firmware';
import {
  EXEC,
  hex,
  hex64,
  mapId,
  newOutcome,
  newRequest,
  READ,
  Verdict,
  WRITE,
  type Delivery,
  type IdMapEntry,
  type Model,
  type Outcome,
  type Platform,
  type PlatformNode,
  type Refusal,
  type Request,
  type Step,
  type TranslationUnit,
} from '@doorbell/platform';
import { refuse } from '../errors.js';
import { isController, isIommu } from '../kinds.js';
import { Requesters, type Requester } from '../requesters.js';
import { BUS, decidingStep, showStep, type Answer, type Verdicts } from './answer.js';
import { reasonOf, withoutConfusion } from './reason.js';
import { remedyFor } from './remedy.js';
import { Journal } from './journal.js';
import type { Access, Question } from './question.js';

/** Ids that lead to nodes which nobody models. */
export interface LostIds {
  readonly units: readonly IdMapEntry[];
  readonly controllers: readonly IdMapEntry[];
}

/** What an inspector knows beside the platform; all of it may be missing. */
export interface Knowledge {
  readonly requesters?: Requesters;
  readonly nodes?: readonly PlatformNode[];
  /** Ids whose unit, or whose interrupt controller, nobody models, by segment. */
  readonly lost?: ReadonlyMap<number, LostIds>;
  /** Those units and controllers, by name. */
  readonly unmodelled?: ReadonlyMap<string, PlatformNode>;
  /** Those of them that have a model whose partner nobody models: what is missing. */
  readonly incomplete?: ReadonlyMap<string, string>;
  /** False: nothing says which units and controllers there are. */
  readonly described?: boolean;
  /** By unit: what its model could not take over. `NOT_MODELLED` at a sentence's start keeps its DMA questions from being answered. */
  readonly unitProblems?: ReadonlyMap<string, readonly string[]>;
  /** Whether an address is memory that the machine had and the input lacks. */
  readonly lacks?: (address: number) => boolean;
  /** The platform runs: its caches may hold what memory no longer says. */
  readonly live?: boolean;
  /** What would have to change, by the name of a fault. */
  readonly remedies?: Readonly<Record<string, string>>;
}

/** Events of the question under way: hooks cannot be untapped, so each platform is tapped once. */
interface Heard {
  delivered: Delivery[];
  refused: Refusal[];
}
const ears = new WeakMap<Platform, Heard>();

/**
 * Asks a platform where a DMA or a message goes. Every question meets the state that the inspector was made in: models and memory are put back
 * after each, so neither caches nor fault records of one answer show in the next.
 */
export class Inspector {
  private readonly journal: Journal;
  private readonly heard: Heard;
  private readonly models: readonly { readonly name: string; readonly model: Model; readonly state: unknown }[];
  private readonly request: Request = newRequest();
  private readonly out: Outcome = newOutcome();
  private readonly requesters: Requesters;

  constructor(
    private readonly platform: Platform,
    private readonly known: Knowledge = {},
  ) {
    this.requesters = known.requesters ?? new Requesters();
    this.journal = Journal.of(platform.memoryModel);
    let heard = ears.get(platform);
    if (!heard) {
      const mine: Heard = (heard = { delivered: [], refused: [] });
      ears.set(platform, mine);
      platform.hooks.delivered.tap('inspect', (d) => void mine.delivered.push(d));
      platform.hooks.refused.tap('inspect', (r) => void mine.refused.push(r));
    }
    this.heard = heard;
    // Cloned: a model may give views of what it works on.
    this.models = platform.allNodes.flatMap(({ name }) => {
      const model = platform.model(name);
      return model?.snapshot && model.restore ? [{ name, model, state: structuredClone(model.snapshot()) }] : [];
    });
  }

  /**
   * Errors: `BAD_QUESTION`, `NO_BACKEND`, `NOT_MODELLED`, `NOT_IN_CAPTURE`; each says what would help.
   *
   * A live platform answers from its caches, as hardware would; the walk is told from memory. Where the two differ, `stale` says so.
   */
  explain(question: Question): Answer {
    const requester = this.requesters.resolve(question.requester);
    if (requester === null)
      throw refuse(
        'BAD_QUESTION',
        question.requester === 'ioapic'
          ? 'no firmware table says which id the IOAPIC sends with'
          : `${question.requester} is no requester`,
        'give a function (00:04.0), "ioapic", or an id as a hex string (0x20)',
        { requester: question.requester },
      );
    const where = this.placeOf(requester, question.kind === 'msi');
    this.mustBeCaptured(where, question.kind === 'msi');
    const answer = this.ask(question, where);
    if (!this.known.live) return answer;
    for (const { model } of this.models) (model as { dropCaches?(): void }).dropCaches?.();
    const walked = this.ask(question, where);
    return sameOutcome(answer, walked) ? walked : { ...answer, stale: walked.reason };
  }

  /** One question from the kept state, which is put back afterwards. */
  private ask(question: Question, where: Place): Answer {
    const { heard, journal, platform } = this;
    heard.delivered.length = heard.refused.length = 0;
    journal.begin();
    try {
      const { result, steps } = platform.trace.record(() => {
        this.tellRoute(question, where);
        return question.kind === 'dma' ? this.askDma(question, where) : this.askMsi(question, where);
      });
      const failed = result.verdict === 'fault' || result.verdict === 'blocked';
      // Who refused a message has the word; else the unit.
      const unit = where.unit?.name;
      const word = heard.refused[0]?.by ?? unit;
      const told = failed && word === unit ? withoutConfusion(steps, unit) : steps;
      return this.finish(result, told, word, question.kind === 'msi' && heard.refused.length === 0);
    } finally {
      journal.undo();
      for (const { model, state } of this.models) model.restore!(state);
      heard.delivered.length = heard.refused.length = 0;
    }
  }

  /** Who translates for a requester, and under which ids. */
  private placeOf(r: Requester, message: boolean): Place {
    const fabric = this.platform.fabric(r.segment);
    if (this.known.described === false)
      throw refuse(
        'NOT_IN_CAPTURE',
        'nothing says which IOMMUs and interrupt controllers the machine has',
        'add its ACPI tables or its device tree',
      );
    const lost = this.known.lost?.get(r.segment);
    const gone = mapId(lost?.units ?? [], r.id) ?? (message ? mapId(lost?.controllers ?? [], r.id) : null);
    if (gone !== null) throw this.noBackend(gone.to);
    // A unit whose requesters nobody knows may be in the way of everybody.
    const unknown = [...(this.known.unmodelled?.values() ?? [])].find((n) => isIommu(n));
    if (unknown && !r.raw && !fabric.unitOf(r.id)) throw this.noBackend(unknown.name);
    if (r.raw) {
      // An id as the unit sees it: a StreamID may be another number than the requester id that it comes from, or come from nowhere on PCI.
      const wire = this.wireOf(r.id, r.segment);
      const unit = wire < 0 ? this.onlyUnit() : fabric.unitOf(wire);
      const requester = wire < 0 && !unit && r.id <= 0xffff ? r.id : wire;
      const deviceId = requester >= 0 ? fabric.deviceIdOf(requester) : r.id <= 0xffff ? fabric.deviceIdOf(r.id) : r.id;
      return { shown: r.shown, segment: r.segment, requester, stream: r.id, deviceId, unit };
    }
    const unit = fabric.unitOf(r.id);
    const stream = unit ? fabric.streamOf(r.id) : r.id;
    return { shown: r.shown, segment: r.segment, requester: r.id, stream, deviceId: fabric.deviceIdOf(r.id), unit };
  }

  /** The requester id that a unit sees as `stream`; the same number if it is one; -1: none. */
  private wireOf(stream: number, segment: number): number {
    const fabric = this.platform.fabric(segment);
    if (stream <= 0xffff && fabric.unitOf(stream) && fabric.streamOf(stream) === stream) return stream;
    for (let id = 0; id < 65536; id++) if (fabric.unitOf(id) && fabric.streamOf(id) === stream) return id;
    return -1;
  }

  private onlyUnit(): TranslationUnit | undefined {
    const units = this.platform.allNodes.flatMap((n) => {
      const model = this.platform.model(n.name);
      return typeof model?.translate === 'function' ? [model as TranslationUnit] : [];
    });
    return units.length === 1 ? units[0] : undefined;
  }

  private askDma(q: Question & { kind: 'dma' }, where: Place): Verdicts {
    this.prepare(q.iova, ACCESS[q.access], 0, where);
    if (q.pasid !== null) this.request.pasid = q.pasid;
    const verdict = this.translate(where);
    const { out } = this;
    if (verdict !== Verdict.interrupt) this.mustBeModelled(where);
    switch (verdict) {
      case Verdict.interrupt:
        return { verdict: 'interrupt' };
      case Verdict.fault:
        return { verdict: 'fault', ...this.fault() };
      case Verdict.bypass:
        // Without a unit in the way, x86 hardware still takes 0xFEEx_xxxx for messages.
        if (where.unit === undefined && this.isMessageRange(q.iova))
          return q.access === 'write' ? { verdict: 'interrupt' } : { verdict: 'bypass', pa: same(q.iova) };
        return { verdict: 'bypass', pa: same(q.iova) };
      default:
        return {
          verdict: 'translated',
          pa: hex(out.pa),
          pageSize: out.pageSize,
          // Functions read and write; whether code could be fetched is told to who asks for a fetch.
          permissions: letters(q.access === 'execute' ? out.permissions : out.permissions & ~EXEC),
        };
    }
  }

  private askMsi(q: Question & { kind: 'msi' }, where: Place): Verdicts {
    this.prepare(q.address, WRITE, q.data, where);
    const { out, platform, heard } = this;
    const verdict = this.translate(where);
    if (verdict === Verdict.interrupt) {
      // A refusal may make the unit send its own fault event: what is delivered then is not this message.
      if (!(where.unit!.interrupt?.(this.request, out) ?? false)) return { verdict: 'blocked', ...this.fault() };
    } else {
      this.mustBeModelled(where);
      if (verdict === Verdict.fault) return { verdict: 'blocked', ...this.fault() };
      const landed = platform.bus.deviceWrite(out.pa, 4, q.data, where.deviceId);
      this.tellArrival(q.data, where.deviceId, landed);
    }
    platform.settle();
    const delivered = heard.delivered[0];
    if (delivered) return { verdict: 'delivered', interrupt: shown(delivered) };
    const refused = heard.refused[0];
    if (refused) {
      const { code, name, recorded } = refused;
      return { verdict: 'blocked', fault: { code: code === null || code < 0 ? null : hex(code), name }, recorded };
    }
    if (verdict === Verdict.interrupt)
      return { verdict: 'blocked', fault: { code: null, name: 'NO_INTERRUPT_CONTROLLER' }, recorded: false };
    const controller = [...(this.known.unmodelled?.values() ?? [])].find((n) => !isIommu(n));
    if (controller) throw this.noBackend(controller.name);
    if (!platform.allNodes.some((n) => isController(n)))
      throw refuse(
        'NOT_IN_CAPTURE',
        'nothing says which interrupt controller takes messages',
        'add the ACPI tables or the device tree',
      );
    const fault = { code: null, name: 'NOT_A_DOORBELL' };
    return {
      verdict: 'blocked',
      fault,
      recorded: false,
      pa: verdict === Verdict.bypass ? same(q.address) : hex(out.pa),
    };
  }

  private prepare(address: bigint, access: number, data: number, where: Place): void {
    const q = this.request;
    q.requester = where.requester < 0 ? 0 : where.requester;
    q.stream = where.stream;
    q.hi = Number(address >> 32n);
    q.lo = Number(address & 0xffff_ffffn);
    q.size = q.lo % 4 === 0 ? 4 : 1;
    q.access = access;
    q.pasid = -1;
    q.data = data;
  }

  private translate({ unit }: Place): Verdict {
    const { request, out } = this;
    out.code = -1;
    out.fault = '';
    out.recorded = false;
    if (unit) return unit.translate(request, out);
    out.pa = request.hi * 2 ** 32 + request.lo;
    return Verdict.bypass;
  }

  private fault() {
    const { code, fault, recorded } = this.out;
    return { fault: { code: code < 0 ? null : hex(code), name: fault }, recorded };
  }

  private isMessageRange(address: bigint): boolean {
    return address >> 20n === 0xfeen && this.platform.allNodes.some((n) => n.compatible === COMPATIBLE.apic);
  }

  /** A unit in a mode that its model does not know must not be asked for translations. */
  private mustBeModelled({ shown, unit, stream }: Place): void {
    const name = unit?.name ?? '';
    const why = this.known.unitProblems?.get(name)?.find((p) => p.startsWith('NOT_MODELLED'));
    if (why !== undefined)
      throw refuse(
        'NOT_MODELLED',
        `${name} takes ${shown} under id ${hex(stream)}, but ${why.replace(/^NOT_MODELLED: /, '')}`,
        'ask about messages, or capture the unit in a mode that its model knows',
        { unit: name, id: stream },
      );
  }

  /** Without a unit's registers nobody knows whether it translates; without a controller's, whether messages arrive. */
  private mustBeCaptured({ unit }: Place, message: boolean): void {
    for (const [name, problems] of this.known.unitProblems ?? []) {
      const isUnit = typeof this.platform.model(name)?.translate === 'function';
      if (isUnit ? name !== unit?.name : !message) continue;
      const why = problems.find(
        (p) => /^no registers of | is missing$/.test(p) && (message || !p.startsWith('messages: ')),
      );
      if (why !== undefined)
        throw refuse(
          'NOT_IN_CAPTURE',
          why.includes(name) ? why : `${name}: ${why}`,
          'capture the registers of the block',
          { unit: name },
        );
    }
  }

  private noBackend(name: string): Error {
    const node = this.known.unmodelled?.get(name);
    const what = node ? `${name} (${node.compatible})` : name;
    const lacks = this.known.incomplete?.get(name);
    return refuse(
      'NO_BACKEND',
      lacks ?? `no configured plugin models ${what}`,
      'add a plugin with a `capture` to doorbell.config.js',
      {
        unit: name,
        compatible: node?.compatible ?? null,
      },
    );
  }

  /** `stray`: a message that no controller got to see. */
  private finish(result: Verdicts, steps: readonly Step[], word: string | undefined, stray: boolean): Answer {
    const { memoryModel, bus } = this.platform;
    const end = steps.findIndex((s) => s.at !== null && s.by !== BUS && this.known.lacks?.(s.at));
    if (end >= 0) {
      const lost = steps[end]!;
      // What the model made of the zeros that it read there is no answer.
      const walked = [...steps.slice(0, end), { ...lost, words: [], decoded: '', why: 'not in the input' }];
      throw refuse(
        'NOT_IN_CAPTURE',
        `the walk reached ${lost.what} at ${hex(lost.at!)}, which the input does not hold`,
        'give the whole dump',
        { at: hex(lost.at!), steps: walked.map(showStep) },
      );
    }
    const missing = steps.flatMap((s) =>
      s.at !== null && s.by !== BUS && !memoryModel.has(s.at) && !bus.regionAt(s.at) ? [hex(s.at)] : [],
    );
    const deciding = decidingStep(steps);
    const fault = 'fault' in result ? result.fault.name : null;
    return {
      ...result,
      steps: steps.map(showStep),
      deciding,
      reason: reasonOf(result, steps, deciding, word),
      remedy: fault === null ? null : remedyFor(fault, stray, this.known.remedies),
      ...(missing.length > 0 && { missing }),
    };
  }

  private tellRoute(question: Question, { shown, segment, stream, unit }: Place): void {
    const { iova, address } = question as { iova?: bigint; address?: bigint };
    const at = (iova ?? address)!;
    const verb = question.kind === 'msi' ? `writes ${hex(question.data)} to` : `${VERBS[question.access]}`;
    this.platform.trace.step({
      by: `host bridge of segment ${segment}`,
      what: 'route',
      at: null,
      words: [],
      decoded: `${shown} ${verb} ${hex64(Number(at >> 32n), Number(at & 0xffff_ffffn))}`,
      why: unit ? `${unit.name} takes it under id ${hex(stream)}` : 'no unit is in the way',
    });
  }

  private tellArrival(data: number, deviceId: number, landed: boolean): void {
    const { bus } = this.platform;
    const { pa } = this.out;
    this.platform.trace.step({
      by: BUS,
      what: bus.regionAt(pa)?.name ?? (bus.memory.has(pa) ? 'RAM' : 'nothing'),
      at: pa,
      words: [data],
      decoded: `write of ${hex(data)} with DeviceID ${hex(deviceId)}`,
      why: landed ? 'taken' : 'nothing answers there',
    });
  }
}

/** Asks a live platform once; its state afterwards is what it was before. */
export const explainOn = (platform: Platform, question: Question, known: Knowledge = {}): Answer =>
  new Inspector(platform, { live: true, ...known }).explain(question);

interface Place {
  /** The requester, for people. */
  readonly shown: string;
  readonly segment: number;
  /** -1: the id came from nowhere on PCI. */
  readonly requester: number;
  readonly stream: number;
  readonly deviceId: number;
  readonly unit: TranslationUnit | undefined;
}

const ACCESS: Readonly<Record<Access, number>> = { read: READ, write: WRITE, execute: READ | EXEC };
const VERBS: Readonly<Record<Access, string>> = { read: 'reads', write: 'writes', execute: 'fetches' };

/** An address that nobody translated: all of its 64 bits. */
const same = (address: bigint): string => `0x${address.toString(16)}`;

const letters = (p: number): string => (p & READ ? 'r' : '') + (p & WRITE ? 'w' : '') + (p & EXEC ? 'x' : '');

/** Addresses become hex strings; what only models care for stays. */
const shown = (d: Delivery): Record<string, unknown> =>
  Object.fromEntries(Object.entries(d).map(([k, v]) => [k, k === 'doorbell' && typeof v === 'number' ? hex(v) : v]));

/** Equal but for the walk. */
const sameOutcome = (a: Answer, b: Answer): boolean => outcome(a) === outcome(b);
const outcome = ({ steps: _s, deciding: _d, reason: _r, missing: _m, ...rest }: Answer): string => JSON.stringify(rest);
