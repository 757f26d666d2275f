/**
 * A benchmark is a plain node program over compiled output: under a test runner's bench mode a loop of 1.1 ns read 18 ns.
 *
 * Each row owns its loop: it runs `n` operations and returns a number that depends on all of them, so that nothing is
 * optimised away and no call per operation is measured. Rows of one suite run interleaved, so that a slow moment of a
 * shared machine hits all of them.
 */
export interface Row {
  readonly name: string;
  /** Does the work `n` times; the sum keeps it alive. */
  readonly run: (n: number) => number;
  /** How many operations one turn of the loop counts as; 1 when absent. */
  readonly per?: number;
}

export interface Suite {
  readonly name: string;
  /** What one operation is, over which data: without it a number means nothing. */
  readonly workload: string;
  /** The floor to compare with: the same work written by hand, where there is such a thing. */
  readonly baseline?: Row;
  readonly rows: readonly Row[];
  /** The budget: at most so many times the baseline, or so many nanoseconds. */
  readonly budget?: { readonly times?: number; readonly ns?: number };
}

export interface Measured {
  readonly suite: string;
  readonly row: string;
  readonly ns: number;
  /** Half of the samples lie within ± this many nanoseconds of the median. */
  readonly spread: number;
  /** Times the baseline; NaN without one. */
  readonly times: number;
  /** Bytes that one operation allocates, by the heap's growth. */
  readonly bytes: number;
  readonly within: boolean | undefined;
}

const SAMPLE_MS = 10;
const SAMPLES = 15;

const time = (row: Row, n: number): number => {
  const start = process.hrtime.bigint();
  sink += row.run(n);
  return Number(process.hrtime.bigint() - start);
};
let sink = 0;

/** A row that turns this often within one sample was optimised away: it does no work that could be measured. */
const MOST_TURNS = 2 ** 32;

/** How often the loop must turn for one sample; finding it is the warm-up. */
function calibrate(row: Row): number {
  let n = 16;
  for (let warm = 0; warm < 8; ) {
    const ns = time(row, n);
    if (ns >= (SAMPLE_MS * 1e6) / 2) warm++;
    else if (n < MOST_TURNS) n *= 2;
    else throw new Error(`"${row.name}" does no work: ${n} turns in ${ns} ns; leave out a baseline that is empty`);
  }
  return n;
}

const quantile = (sorted: readonly number[], q: number): number => sorted[Math.floor((sorted.length - 1) * q)]!;

/** Bytes per operation, the median of five counts; NaN unless node runs with --expose-gc. */
function allocated(row: Row, n: number): number {
  const { gc } = globalThis;
  if (!gc) return NaN;
  const grown = Array.from({ length: 5 }, () => {
    gc();
    const before = process.memoryUsage().heapUsed;
    sink += row.run(n);
    return process.memoryUsage().heapUsed - before;
  }).sort((a, b) => a - b);
  // The counting itself allocates some kilobytes.
  return Math.max(0, quantile(grown, 0.5) - 16384) / (n * (row.per ?? 1));
}

export function measure(suite: Suite): Measured[] {
  const rows = [...(suite.baseline ? [suite.baseline] : []), ...suite.rows];
  const turns = rows.map(calibrate);
  const samples = rows.map((): number[] => []);
  for (let s = 0; s < SAMPLES; s++)
    rows.forEach((row, i) => samples[i]!.push(time(row, turns[i]!) / (turns[i]! * (row.per ?? 1))));
  for (const s of samples) s.sort((a, b) => a - b);
  const base = suite.baseline ? quantile(samples[0]!, 0.5) : NaN;
  return rows.map((row, i) => {
    const ns = quantile(samples[i]!, 0.5);
    const { times = Infinity, ns: most = Infinity } = suite.budget ?? {};
    const bounded = rows[i] !== suite.baseline && suite.budget !== undefined;
    return {
      suite: suite.name,
      row: row.name,
      ns,
      spread: (quantile(samples[i]!, 0.75) - quantile(samples[i]!, 0.25)) / 2,
      times: ns / base,
      bytes: allocated(row, turns[i]!),
      within: bounded ? ns <= most && !(ns / base > times) : undefined,
    };
  });
}

const budgetText = ({ times, ns }: NonNullable<Suite['budget']>): string =>
  [...(times === undefined ? [] : [`${times}× baseline`]), ...(ns === undefined ? [] : [`${ns} ns`])].join(', ');

/** Measures and prints a suite. */
export function report(suite: Suite): Measured[] {
  console.log(`\n${suite.name}\n  ${suite.workload}`);
  if (suite.budget) console.log(`  budget: ${budgetText(suite.budget)}`);
  const all = measure(suite);
  for (const m of all) {
    const cells = [
      `${m.ns.toFixed(2).padStart(9)} ns/op`,
      `±${m.spread.toFixed(2)}`.padEnd(8),
      (Number.isNaN(m.times) ? '' : `${m.times.toFixed(2)}×`).padStart(7),
    ];
    const heap = Number.isNaN(m.bytes) ? '' : `${m.bytes < 0.01 ? 0 : m.bytes.toFixed(2)} B/op`.padStart(11);
    console.log(`  ${m.row.padEnd(44)}${cells.join(' ')}${heap}${m.within === false ? '  OVER BUDGET' : ''}`);
  }
  return all;
}

/** Read by main at the end, so that no engine may drop the work. */
export const drained = (): number => sink;
