/** What a function is programmed with: it interrupts by writing `data` (32 bits) to the address. */
export interface Message {
  readonly addressHi: number;
  readonly addressLo: number;
  readonly data: number;
}

export const sameMessage = (a: Message, b: Message): boolean =>
  a.addressHi === b.addressHi && a.addressLo === b.addressLo && a.data === b.data;

/** A register that turns writes into interrupts. What an IOMMU that translates MSIs has to map. */
export interface Doorbell {
  /** Physical address of the register, not of its page. */
  readonly address: number;
  /** For people: `its0 GITS_TRANSLATER`. */
  readonly name: string;
  /** What else a mapping of its 4 KiB page would expose; empty where the page holds nothing else. */
  readonly exposes: readonly string[];
}
