import type { DependencyContainer } from 'tsyringe';
import type { Service, Stateful } from './block.js';
import { DoorbellError } from './errors.js';
import { tokenName, type Token } from './tokens.js';

/** One side of the border: its container, and the services that its blocks share. */
export class Side<Host> {
  private readonly services = new Map<string, { definition: Service<unknown, Host>; made: unknown }>();
  private readonly making: string[] = [];
  /** States of services that nobody has asked for since a `restore`. */
  private waiting = new Map<string, unknown>();

  constructor(
    readonly container: DependencyContainer,
    readonly host: Host,
  ) {}

  /** The one instance, made when first asked for. Errors: `DEPENDENCY_CYCLE`. */
  service<T>(service: Service<T, Host>): T {
    const found = this.get(service.token);
    if (found !== undefined) return found;
    const name = tokenName(service.token);
    if (this.making.includes(name)) {
      const cycle = [...this.making.slice(this.making.indexOf(name)), name];
      throw new DoorbellError(
        'DEPENDENCY_CYCLE',
        `services need each other: ${cycle.join(' → ')}`,
        'ask for one of them later',
        { cycle },
      );
    }
    this.making.push(name);
    try {
      const made = service.create(this.host);
      this.container.register(service.token, { useValue: made });
      this.services.set(name, { definition: service, made });
      if (this.waiting.has(name)) {
        stateful(made)?.restore?.(this.waiting.get(name));
        this.waiting.delete(name);
      }
      return made;
    } finally {
      this.making.pop();
    }
  }

  get<T>(t: Token<T>): T | undefined {
    return this.container.isRegistered(t, true) ? this.container.resolve<T>(t) : undefined;
  }

  /** Makes whatever services another side of the same kind has. */
  adopt(other: Side<Host>): void {
    for (const { definition } of other.services.values()) this.service(definition);
  }

  /** States of the services that keep one; the names of those that do not go to `leftOut`. */
  snapshot(side: string, leftOut: string[]): Record<string, unknown> {
    const states: Record<string, unknown> = Object.fromEntries(this.waiting);
    for (const [name, { made }] of this.services) {
      const service = stateful(made);
      if (service?.snapshot && service.restore) states[name] = structuredClone(service.snapshot());
      else leftOut.push(`${name} (${side} service)`);
    }
    return states;
  }

  restore(states: Readonly<Record<string, unknown>>): void {
    this.waiting = new Map(Object.entries(states).map(([name, state]) => [name, structuredClone(state)]));
    for (const [name, { made }] of this.services) {
      if (this.waiting.has(name)) stateful(made)?.restore?.(this.waiting.get(name));
      this.waiting.delete(name);
    }
  }

  /** Last made, first ended. */
  disposals(): (() => void)[] {
    return [...this.services.values()].reverse().map(
      ({ made }) =>
        () =>
          stateful(made)?.dispose?.(),
    );
  }
}

const stateful = (made: unknown): Stateful | undefined =>
  typeof made === 'object' && made !== null ? made : undefined;
