/** Nothing is lost silently: what software asked of a model that it does not do, or did wrongly, counted by text. */
export class Diagnostics {
  private readonly counts = new Map<string, number>();

  /** A register, command or feature that the model does not implement was used. */
  unimplemented(by: string, what: string): void {
    this.note(by, `not modelled: ${what}`);
  }

  /** Software did what the specification calls unpredictable or illegal, and the model chose an answer. */
  illegal(by: string, what: string): void {
    this.note(by, `illegal: ${what}`);
  }

  /** `[text, count]`, in the order of first occurrence. */
  entries(): [string, number][] {
    return [...this.counts];
  }

  clear(): void {
    this.counts.clear();
  }

  private note(by: string, text: string): void {
    const key = `${by}: ${text}`;
    this.counts.set(key, (this.counts.get(key) ?? 0) + 1);
  }
}
