import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { openSession, questionOf, type Question, type Session, type SnapshotFile } from '@doorbell/inspect';
import { DoorbellError, saveElfCore, type CaptureContribution, type PhysicalMemory } from '@doorbell/platform';
import { afterAll, beforeAll } from 'vitest';
import { contributions } from './config.js';

/*
 * Small captures made of a fixture: a directory with a memory dump and registers.json, changed in one way each. There are no firmware
 * tables in them unless a test adds some, so they also show what is asked without.
 */
const FIXTURES = join(import.meta.dirname, 'fixtures');
export const X86 = join(FIXTURES, 'x86-vtd-nvme.snapshot.gz');
export const ARM = join(FIXTURES, 'arm-smmuv3-its-nvme.snapshot.gz');

export const readFixture = (path: string): SnapshotFile =>
  JSON.parse(gunzipSync(readFileSync(path)).toString('utf8')) as SnapshotFile;

export const coreOf = (memory: PhysicalMemory, machine = 62): Buffer =>
  Buffer.concat([...saveElfCore(memory, { machine })].map((b) => Buffer.from(b)));

export type Files = Readonly<Record<string, Uint8Array | string | null>>;

/** What the tests of one file share; made before all of them. */
export class Mini {
  plugins: CaptureContribution[] = [];
  /** The x86 fixture's memory as a core. */
  elf: Buffer = Buffer.alloc(0);
  registers: { kind: string; base: string; words: Record<string, string> } = { kind: '', base: '', words: {} };
  readonly scratch = mkdtempSync(join(tmpdir(), 'doorbell-mini-'));
  private n = 0;

  constructor() {
    beforeAll(async () => {
      this.plugins = await contributions();
      this.elf = coreOf((await openSession(X86, this.plugins)).memory);
      this.registers = readFixture(X86).registers as typeof this.registers;
    });
    afterAll(() => rmSync(this.scratch, { recursive: true }));
  }

  /** Address of the x86 root table. */
  get root(): number {
    return Number(this.registers.words['0x20']);
  }

  /** A directory with these files besides the dump and the registers; null leaves one out. */
  directory(files: Files): string {
    const dir = join(this.scratch, `c${this.n++}`);
    mkdirSync(dir);
    const all = { 'memory.elf': this.elf, 'registers.json': JSON.stringify(this.registers), ...files };
    for (const [name, content] of Object.entries(all)) if (content !== null) writeFileSync(join(dir, name), content);
    return dir;
  }

  open(files: Files): Promise<Session> {
    return openSession(this.directory(files), this.plugins);
  }

  /** A session of a fixture that was changed as a value. */
  changed(
    fixture: string,
    change: (file: { -readonly [K in keyof SnapshotFile]: SnapshotFile[K] }) => void,
  ): Promise<Session> {
    const file = readFixture(fixture);
    change(file);
    const path = join(this.scratch, `s${this.n++}.json`);
    writeFileSync(path, JSON.stringify(file));
    return openSession(path, this.plugins);
  }

  withWords(words: Record<string, string>): string {
    return JSON.stringify({ ...this.registers, words: { ...this.registers.words, ...words } });
  }
}

export const read = questionOf({ dma: { requester: '00:04.0', iova: '0xfff8f000' } });
export const message = questionOf({ msi: { requester: '00:04.0', address: '0xfee00298', data: '0x0' } });

/** The error of a question that has no answer. */
export function refusal(session: Session, question: Question = read): DoorbellError {
  try {
    session.explain(question);
  } catch (error) {
    if (error instanceof DoorbellError) return error;
    throw error;
  }
  throw new Error('this was answered');
}
