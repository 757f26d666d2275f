import { DoorbellError } from '@doorbell/platform';

/** A `-device` option as QEMU spells it: `edu,addr=5.0,dma_mask=0xffffffffffffffff`. */
export class DeviceOption {
  readonly driver: string;
  private readonly values = new Map<string, string>();
  private readonly asked = new Set<string>();

  /** Errors: `BAD_OPTION`. */
  constructor(readonly text: string) {
    const [driver = '', ...rest] = text.split(',');
    // QEMU takes the name with or without `driver=`.
    this.driver = driver.replace(/^driver=/, '');
    if (this.driver === '') throw this.bad('names no device', 'write --device edu,addr=5.0');
    for (const pair of rest) {
      const at = pair.indexOf('=');
      const name = at < 0 ? pair : pair.slice(0, at);
      if (name === '') throw this.bad('has an empty property', 'write NAME=VALUE, separated by single commas');
      // A bare name means `on`, as in QEMU.
      this.values.set(name, at < 0 ? 'on' : pair.slice(at + 1));
    }
  }

  /** A property's text; undefined where it is not given. */
  get(name: string): string | undefined {
    this.asked.add(name);
    return this.values.get(name);
  }

  /** on, off; `auto` gives undefined, as leaving it out does. */
  flag(name: string): boolean | undefined {
    const text = this.get(name);
    if (text === undefined || text === 'auto') return undefined;
    if (['on', 'true', 'yes', 'y'].includes(text)) return true;
    if (['off', 'false', 'no', 'n'].includes(text)) return false;
    throw this.bad(`${name}=${text} is neither on nor off`, `write ${name}=on or ${name}=off`);
  }

  /** An unsigned number of up to 64 bits, decimal or 0x. */
  number(name: string): bigint | undefined {
    const text = this.get(name);
    if (text === undefined) return undefined;
    if (!/^(0x[0-9a-f]+|[0-9]+)$/i.test(text) || BigInt(text) >= 1n << 64n)
      throw this.bad(`${name}=${text} is no number`, 'write a decimal or 0x… number of up to 64 bits');
    return BigInt(text);
  }

  /** `addr=`: slot and function in hexadecimal, `5` or `05.0` or `0x5.0`; undefined where it is not given. */
  place(): { readonly slot: number; readonly fn: number } | undefined {
    const text = this.get('addr');
    if (text === undefined) return undefined;
    const m = /^(?:0x)?([0-9a-f]{1,2})(?:\.([0-7]))?$/i.exec(text);
    const slot = m ? parseInt(m[1]!, 16) : 32;
    if (slot > 31) throw this.bad(`addr=${text} is no place on a bus`, 'write SLOT or SLOT.FUNCTION: addr=5.0');
    return { slot, fn: Number(m?.[2] ?? 0) };
  }

  /** Errors: `BAD_OPTION` for a property that nobody asked for. */
  finish(): void {
    const unknown = [...this.values.keys()].find((name) => !this.asked.has(name));
    if (unknown !== undefined)
      throw this.bad(`has no property ${unknown} here`, `known are ${[...this.asked].sort().join(', ')}`);
  }

  bad(why: string, remedy: string): DoorbellError {
    return new DoorbellError('BAD_OPTION', `--device ${this.text}: ${why}`, remedy, { device: this.text });
  }
}
