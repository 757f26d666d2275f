import { join64, TWO32, type Word64 } from '@doorbell/platform';
import type { QtestTarget } from './target.js';

/**
 * The commands of QEMU 7.2's qtest protocol (softmmu/qtest.c) without `-accel qtest`: one line in, one line out.
 *
 * Where QEMU would abort on a malformed command (a missing or unreadable argument, a `read` of length 0), the answer is
 * `FAIL …` with the reason, and the session goes on.
 */
export class QtestCommands {
  private readonly target: QtestTarget;
  private readonly value: Word64 = { hi: 0, lo: 0 };
  private intercepted: string | undefined;
  /** Changes of intercepted inputs since the last reply: lines that go out before it. */
  private changes: string[] = [];

  constructor(target: QtestTarget) {
    this.target = target;
  }

  /** The reply to one line, without the last line feed: `IRQ raise N` and `IRQ lower N` of intercepted inputs come before it. */
  answer(line: string): string {
    const reply = this.reply(line);
    if (this.changes.length === 0) return reply;
    return [...this.changes.splice(0), reply].join('\n');
  }

  private reply(line: string): string {
    try {
      this.target.beginCommand();
      return this.run(line.split(' '));
    } catch (error) {
      if (error instanceof BadArgument) return `FAIL ${error.message}`;
      if (!this.target.failed) throw error;
      this.target.failed(line, error);
      return `FAIL ${(error instanceof Error ? error.message : String(error)).replaceAll('\n', ' ')}`;
    }
  }

  private run(words: readonly string[]): string {
    const { target } = this;
    const command = words[0] as string;
    const size = SIZES[command.at(-1) ?? ''];
    switch (command) {
      case 'readb':
      case 'readw':
      case 'readl':
      case 'readq':
        return this.load(this.address(words, 1), size as 1);
      case 'writeb':
      case 'writew':
      case 'writel':
      case 'writeq':
        return this.store(this.address(words, 1), size as 1, this.wide(words, 2));
      case 'inb':
      case 'inw':
      case 'inl':
        return `OK 0x${(target.in(this.port(words), size as 1) >>> 0).toString(16).padStart(4, '0')}`;
      case 'outb':
      case 'outw':
      case 'outl': {
        const port = this.port(words);
        const { lo } = this.wide(words, 2);
        target.out(port, size as 1, size === 1 ? lo & 0xff : size === 2 ? lo & 0xffff : lo);
        return 'OK';
      }
      case 'read': {
        const bytes = this.bytes(words);
        if (bytes.length === 0) throw new BadArgument('a read of length 0');
        return `OK 0x${bytes.toString('hex')}`;
      }
      case 'b64read':
        return `OK ${this.bytes(words).toString('base64')}`;
      case 'write':
        return this.writeBytes(words, (text, into) => {
          into.forEach((_, i) => (into[i] = hexByte(text, 2 * i + 2)));
        });
      case 'b64write':
        return this.writeBytes(words, (text, into) => {
          // QEMU decodes in place: where the text decodes to fewer bytes, its own characters follow.
          const place = Buffer.from(text, 'latin1');
          Buffer.from(text, 'base64').copy(place);
          place.copy(into);
        });
      case 'memset': {
        const [address, length, { lo }] = [this.address(words, 1), this.length(words, 2), this.wide(words, 3)];
        if (length > 0) this.put(address, Buffer.alloc(length, lo & 0xff));
        return 'OK';
      }
      case 'endianness':
        return `OK ${target.endianness}`;
      case 'irq_intercept_in':
      case 'irq_intercept_out':
        return this.intercept(this.word(words, 1));
      case 'set_irq_in':
        return this.setInput(words);
      case 'clock_step':
      case 'clock_set':
        return this.moveClock(command, words);
      case 'module_load':
        return 'FAIL';
      case '':
        throw new BadArgument('an empty command');
      default:
        return `FAIL Unknown command '${command}'`;
    }
  }

  private load(address: number, size: 1 | 2 | 4 | 8): string {
    const { value } = this;
    value.hi = 0;
    value.lo = 0;
    if (reachable(address)) this.target.read(address, size, value);
    this.order(size);
    return `OK 0x${word(value.hi)}${word(value.lo)}`;
  }

  private store(address: number, size: 1 | 2 | 4 | 8, { hi, lo }: Word64): string {
    this.value.hi = size === 8 ? hi : 0;
    this.value.lo = size === 1 ? lo & 0xff : size === 2 ? lo & 0xffff : lo;
    this.order(size);
    if (reachable(address)) this.target.write(address, size, this.value.hi, this.value.lo);
    return 'OK';
  }

  /** Between the target's byte order on the wire and the little-endian values of ports. */
  private order(size: 1 | 2 | 4 | 8): void {
    if (this.target.endianness === 'little' || size === 1) return;
    const { hi, lo } = this.value;
    if (size === 8) {
      this.value.hi = swap(lo);
      this.value.lo = swap(hi);
    } else this.value.lo = size === 4 ? swap(lo) : swap(lo) >>> 16;
  }

  private bytes(words: readonly string[]): Buffer {
    const [address, length] = [this.address(words, 1), this.length(words, 2)];
    const bytes = Buffer.alloc(length);
    if (length > 0 && reachable(address)) this.target.readBytes(address, bytes);
    return bytes;
  }

  private writeBytes(words: readonly string[], decode: (text: string, into: Uint8Array) => void): string {
    const [address, length, text] = [this.address(words, 1), this.length(words, 2), this.word(words, 3)];
    if (text.length < 3) return 'ERR invalid argument size';
    const bytes = new Uint8Array(length);
    decode(text, bytes);
    if (length > 0) this.put(address, bytes);
    return 'OK';
  }

  private put(address: number, bytes: Uint8Array): void {
    if (reachable(address)) this.target.writeBytes(address, bytes);
  }

  private intercept(path: string): string {
    if (!this.target.hasDevice(path)) return 'FAIL Unknown device';
    if (this.intercepted !== undefined && this.intercepted !== path) return 'FAIL IRQ intercept already enabled';
    if (this.intercepted === undefined)
      this.target.intercept?.(path, (pin, level) => this.changes.push(`IRQ ${level ? 'raise' : 'lower'} ${pin}`));
    this.intercepted = path;
    return 'OK';
  }

  private setInput(words: readonly string[]): string {
    const path = this.word(words, 1);
    if (!this.target.setInput || !this.target.hasDevice(path)) return 'FAIL Unknown device';
    const pin = this.address(words, 3);
    const level = this.address(words, 4) !== 0;
    if (this.word(words, 2) !== 'unnamed-gpio-in') throw new BadArgument(`${path} has no input named '${words[2]}'`);
    if (!this.target.setInput(path, pin, level)) throw new BadArgument(`${path} has no input ${pin}`);
    return 'OK';
  }

  /** `clock_step [NANOSECONDS]` (default: to the next deadline, of which there is none) and `clock_set NANOSECONDS`. */
  private moveClock(command: string, words: readonly string[]): string {
    const { target } = this;
    if (!target.advance) return `FAIL Unknown command '${command}'`;
    const value = command === 'clock_set' || words.length > 1 ? this.address(words, 1) : 0;
    const step = command === 'clock_set' ? Math.max(0, value - target.advance(0)) : value;
    return `OK ${target.advance(step)}`;
  }

  private address(words: readonly string[], at: number): number {
    const { hi, lo } = this.wide(words, at);
    return join64(hi, lo);
  }

  private length(words: readonly string[], at: number): number {
    const length = this.address(words, at);
    if (length > LONGEST) throw new BadArgument(`a length of ${length}, more than ${LONGEST}`);
    return length;
  }

  private port(words: readonly string[]): number {
    const port = this.address(words, 1);
    if (port > 0xffff) throw new BadArgument(`port ${port.toString(16)} beyond 0xffff`);
    return port;
  }

  private wide(words: readonly string[], at: number): Word64 {
    return parseWide(this.word(words, at));
  }

  private word(words: readonly string[], at: number): string {
    const text = words[at];
    if (text === undefined) throw new BadArgument(`${words[0]} needs ${at} arguments`);
    return text;
  }
}

class BadArgument extends Error {}

const SIZES: Readonly<Record<string, 1 | 2 | 4 | 8>> = { b: 1, w: 2, l: 4, q: 8 };
/** More than any machine's RAM here; QEMU would try to allocate it. */
const LONGEST = 2 ** 31;
/** Beyond 52 bits nothing answers: reads give 0, writes vanish. */
const reachable = (address: number): boolean => address < 2 ** 52;
const word = (v: number): string => (v >>> 0).toString(16).padStart(8, '0');
const swap = (v: number): number =>
  (((v & 0xff) << 24) | ((v & 0xff00) << 8) | ((v >>> 8) & 0xff00) | (v >>> 24)) >>> 0;

/** `strtoull(text, …, 0)` over the whole word: decimal, 0x…, or octal with a leading 0; a minus sign negates modulo 2^64. */
export function parseWide(text: string): Word64 {
  if (/^0x[0-9a-f]{1,8}$/i.test(text)) return { hi: 0, lo: parseInt(text, 16) };
  const match = /^\s*([-+]?)(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)$/i.exec(text);
  if (!match) throw new BadArgument(`'${text}' is not a number`);
  const [, sign, digits] = match as unknown as [string, string, string];
  const magnitude = BigInt(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits);
  if (magnitude >= 1n << 64n) throw new BadArgument(`'${text}' has more than 64 bits`);
  const value = BigInt.asUintN(64, sign === '-' ? -magnitude : magnitude);
  return { hi: Number(value / BigInt(TWO32)), lo: Number(value % BigInt(TWO32)) };
}

/** One byte of a `write`: two digits where there are two, 0 behind the end; QEMU's own value for what is no digit (−1). */
function hexByte(text: string, at: number): number {
  if (at + 2 > text.length) return 0;
  const [high, low] = [nibble(text.charCodeAt(at)), nibble(text.charCodeAt(at + 1))];
  return ((high << 4) | low) & 0xff;
}

function nibble(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
