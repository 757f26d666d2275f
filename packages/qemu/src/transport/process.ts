import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FifoLine } from './fifo.js';

/** A running QEMU with its two synchronous channels and its directory. */
export interface QemuProcess {
  readonly directory: string;
  readonly qtest: FifoLine;
  readonly monitor: FifoLine;
  /** What QEMU has said on its standard error. */
  stderr(): string;
  /** Ends QEMU and removes the directory; returns when both are gone. Idempotent. */
  close(): void;
}

/** Machines that are still open: closed when this process exits in an orderly way. */
const open = new Set<QemuProcess>();
process.on('exit', () => {
  for (const machine of open) machine.close();
});

/**
 * QEMU's parent. It ends QEMU when the lifeline closes, however our process died, or when the lifetime is over, and removes
 * the directory. When QEMU ends by itself it says so on both channels, so that nobody waits for a reply that cannot come.
 */
const GUARD = `dir=$1 lifetime=$2; shift 2
exec 3<"$dir/lifeline" 6<>"$dir/qtest.in" 7<>"$dir/qmp.in" 4<>"$dir/qtest.out" 5<>"$dir/qmp.out"
"$@" </dev/null >/dev/null 2>"$dir/stderr" 3<&- 4>&- 5>&- 6>&- 7>&- & qemu=$!
{ timeout "$lifetime" cat <&3; [ -e "$dir/ended" ] || kill -9 $qemu; } >/dev/null 2>&1 4>&- 5>&- 6>&- 7>&- & watch=$!
wait $qemu
touch "$dir/ended"
exec 6>&- 7>&-
echo GONE >&4; echo GONE >&5
wait $watch
rm -rf "$dir"`;

/** A fresh directory with the FIFOs of both channels. */
export function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'doorbell-qemu-'));
  const fifos = ['lifeline', 'qtest.in', 'qtest.out', 'qmp.in', 'qmp.out'];
  execFileSync(
    'mkfifo',
    fifos.map((name) => join(directory, name)),
  );
  return directory;
}

/**
 * Starts QEMU with `args` beside the channels' own arguments. The first command waits until its machine stands; if QEMU
 * cannot start, that command throws `QEMU_GONE` and `stderr()` says why.
 *
 * `lifetime` is the number of seconds after which it is ended whatever happens.
 */
export function startProcess(
  program: string,
  directory: string,
  args: readonly string[],
  lifetime: number,
): QemuProcess {
  const path = (name: string): string => join(directory, name);
  const lifeline = openSync(path('lifeline'), 'r+');
  const command = [
    program,
    ...args,
    ...['-qtest', `pipe:${path('qtest')}`, '-qtest-log', 'none'],
    ...['-chardev', `pipe,id=qmp,path=${path('qmp')}`, '-mon', 'chardev=qmp,mode=control'],
  ];
  spawn('/bin/sh', ['-c', GUARD, 'guard', directory, String(lifetime), ...command], {
    stdio: 'ignore',
    detached: true, // an interrupt from the terminal is for us; it follows through the lifeline
  }).unref();
  const qtest = new FifoLine(path('qtest'));
  const monitor = new FifoLine(path('qmp'));
  const machine: QemuProcess = {
    directory,
    qtest,
    monitor,
    stderr() {
      return readFileSync(path('stderr'), 'utf8');
    },
    close() {
      if (!open.delete(machine)) return;
      closeSync(lifeline);
      qtest.drain(); // ends with the guard, its last writer
      qtest.close();
      monitor.close();
    },
  };
  open.add(machine);
  return machine;
}
