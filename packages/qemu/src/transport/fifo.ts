import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { DoorbellError } from '@doorbell/platform';

/**
 * A synchronous line channel over QEMU's `pipe:` character device: it reads commands from `PATH.in` and answers on
 * `PATH.out`. A blocking read on a FIFO is all that a synchronous port needs: no worker thread, no socket, no busy loop.
 * When QEMU ends, its guard says `GONE` here, so a blocked read ends too (`QEMU_GONE`).
 */
export class FifoLine {
  private readonly toQemu: number;
  private readonly fromQemu: number;
  private readonly chunk = Buffer.alloc(65536);
  private at = 0;
  private end = 0;
  private open = true;

  /** The FIFOs exist and a process that holds their other ends is on its way: this waits for it. */
  constructor(path: string) {
    this.toQemu = openSync(`${path}.in`, 'w');
    this.fromQemu = openSync(`${path}.out`, 'r');
  }

  /** Writes the line and a line feed. */
  send(line: string): void {
    if (!this.open) throw gone();
    const text = `${line}\n`;
    try {
      let sent = writeSync(this.toQemu, text);
      // A FIFO takes up to 64 KiB at once; the commands are ASCII, so characters are bytes.
      while (sent < text.length) sent += writeSync(this.toQemu, text.slice(sent));
    } catch (error) {
      throw gone(error);
    }
  }

  /** The next line without its line feed; blocks until there is one. */
  receive(): string {
    let line = '';
    for (;;) {
      const feed = this.chunk.indexOf(10, this.at); // may be a stale one, behind `end`
      if (feed >= 0 && feed < this.end) {
        line += this.chunk.toString('latin1', this.at, feed);
        this.at = feed + 1;
        if (line === 'GONE') throw gone(); // from the guard
        return line;
      }
      line += this.chunk.toString('latin1', this.at, this.end);
      this.at = 0;
      this.end = this.read();
      if (this.end === 0) throw gone();
    }
  }

  /** Blocks until nobody holds the other end any more (after QEMU was told to end). */
  drain(): void {
    while (this.open && this.read() > 0);
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    closeSync(this.toQemu);
    closeSync(this.fromQemu);
  }

  private read(): number {
    if (!this.open) throw gone();
    return readSync(this.fromQemu, this.chunk, 0, this.chunk.length, null);
  }
}

const gone = (cause?: unknown): DoorbellError =>
  new DoorbellError(
    'QEMU_GONE',
    'QEMU has ended, or was ended by its lifetime limit',
    'a malformed command or a device model aborted it; start a fresh machine',
    {},
    { cause },
  );
