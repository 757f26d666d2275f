import { DoorbellError } from '@doorbell/platform';
import type { FifoLine } from './fifo.js';

/** QEMU's machine protocol (one JSON object per line), synchronously. */
export class QmpClient {
  private readonly line: FifoLine;

  constructor(line: FifoLine) {
    this.line = line;
    this.line.receive(); // the greeting
    this.execute('qmp_capabilities');
  }

  /** Runs one command and returns its `return` value; events in between are dropped. Errors: `QMP_ERROR`. */
  execute(command: string, args?: Readonly<Record<string, unknown>>): unknown {
    this.line.send(JSON.stringify({ execute: command, ...(args ? { arguments: args } : {}) }));
    for (;;) {
      const reply = JSON.parse(this.line.receive()) as { return?: unknown; error?: { desc: string } };
      if (reply.error) {
        throw new DoorbellError('QMP_ERROR', `${command}: ${reply.error.desc}`, 'look at the command', {
          command,
          args,
        });
      }
      if ('return' in reply) return reply.return;
    }
  }

  /** A command of the human monitor; its text with line feeds. */
  monitor(line: string): string {
    return String(this.execute('human-monitor-command', { 'command-line': line })).replaceAll('\r\n', '\n');
  }
}
