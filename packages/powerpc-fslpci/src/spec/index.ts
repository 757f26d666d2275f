import { bit, bits, layout, type LayoutInfo } from '@doorbell/bits';

/** The controller's registers are big-endian; what CONFIG_DATA reaches is little-endian as all of PCI. */
const BE = { endian: 'big' } as const;
const REF = 'fslpci B2';

export const FSLPCI_SIZE = 0x1000;

/** Selects a register of configuration space (Linux fsl_pci: indirect access at offsets 0 and 4). */
export const CONFIG_ADDR = layout(
  'CONFIG_ADDR',
  REF,
  0x000,
  32,
  { EN: bit(31), BUS: bits(23, 16), DEVICE: bits(15, 11), FUNCTION: bits(10, 8), REGISTER: bits(7, 2) },
  BE,
);
export const CONFIG_DATA = layout('CONFIG_DATA', REF, 0x004, 32, { DATA: bits(31, 0) }, BE);
/** LIODN of the controller, or the base of its LIODNs (A9). */
export const LIODN_BASE = layout('LIODN_BASE', 'PAMU A9', 0x040, 32, { LIODN: bits(11, 0) }, BE);

export const PITAR = layout('PITAR', REF, 0x00, 32, { TARGET: bits(23, 0, { doc: 'target address >> 12' }) }, BE);
export const PIWBAR = layout(
  'PIWBAR',
  REF,
  0x08,
  32,
  { HIGH: bits(31, 20, { doc: 'base 43:32' }), LOW: bits(19, 0, { doc: 'base 31:12' }) },
  BE,
);
export const PIWBEAR = layout('PIWBEAR', REF, 0x0c, 32, { BASE: bits(19, 0, { doc: 'base >> 44' }) }, BE);
export const PIWAR = layout(
  'PIWAR',
  REF,
  0x10,
  32,
  {
    EN: bit(31),
    PF: bit(29, { doc: 'prefetch' }),
    TRGT: bits(23, 20, { is: { 14: 'CCSR', 15: 'memory' } }),
    RTT: bits(19, 16, { doc: 'read snoop' }),
    WTT: bits(15, 12, { doc: 'write snoop' }),
    IWS: bits(5, 0, { doc: 'log2(size) - 1' }),
  },
  BE,
);
export const TARGET = { ccsr: 0xe, memory: 0xf } as const;
export const SNOOP = 5;

/** Inbound windows by number; window 1 has no PIWBEAR. PMIT is the one for MSIs on newer controllers. */
export const INBOUND = { 1: 0xde0, 2: 0xdc0, 3: 0xda0, msi: 0xd00 } as const;
/** In the order in which a request is compared here: the sheet gives none. */
export const INBOUND_ORDER = [INBOUND.msi, INBOUND[1], INBOUND[2], INBOUND[3]] as const;

/** The same register in another window. */
export const inbound = (register: { readonly $: LayoutInfo }, window: number): { readonly $: LayoutInfo } => ({
  $: { ...register.$, at: window + register.$.at },
});

export const IP_REVISION = layout('IP_REV', REF, 0xbf8, 32, { VERSION: bits(15, 0, { access: 'ro' }) }, BE);

/** BAR0 of the root port: the inbound window on CCSR, as configuration space has it. */
export const PEXCSRBAR = 0x10;
/** MSIs keep this part of MSIIR's address: `(BAR0 & ~0xf) + (MSIIR & 0xf_ffff)`. */
export const MSIIR_IN_CCSR = 0xf_ffff;
