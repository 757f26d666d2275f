import { setAt } from '@doorbell/bits';
import { EXEC, PRIVILEGED, READ, WRITE, type Request } from '@doorbell/platform';
import { CLASS, EVENT, EVENT_ID } from '../spec/index.js';
import type { FaultSite } from './fault-site.js';

/** §7.3: fills an empty record. */
export function fillRecord(w: Uint32Array, event: number, q: Request, access: number, site: FaultSite): void {
  setAt(w, 0, EVENT.ID, event);
  setAt(w, 0, EVENT.SID, q.stream);
  const noSubstream = event === EVENT_ID.F_STREAM_DISABLED || event === EVENT_ID.F_TRANSL_FORBIDDEN;
  if (q.pasid >= 0 && !noSubstream) {
    setAt(w, 0, EVENT.SSID, q.pasid);
    if (event !== EVENT_ID.C_BAD_SUBSTREAMID) setAt(w, 0, EVENT.SSV, 1);
  }
  const translation = event >= EVENT_ID.F_WALK_EABT;
  if (translation || event === EVENT_ID.F_TRANSL_FORBIDDEN || event === EVENT_ID.F_BAD_ATS_TREQ) {
    setAt(w, 0, EVENT.ADDR_LO, event === EVENT_ID.F_BAD_ATS_TREQ ? (q.lo & ~0xfff) >>> 0 : q.lo);
    setAt(w, 0, EVENT.ADDR_HI, q.hi);
  }
  const read = (access & WRITE) === 0;
  if (event === EVENT_ID.F_BAD_ATS_TREQ) {
    // §7.3.6: what was asked for, in word 2
    w[2] =
      ((access & READ ? 1 << 31 : 0) |
        (access & WRITE ? 1 << 30 : 0) |
        (access & EXEC ? 1 << 29 : 0) |
        (access & PRIVILEGED ? 1 << 28 : 0)) >>>
      0;
  }
  if (translation) {
    setAt(w, 0, EVENT.PnU, access & PRIVILEGED ? 1 : 0);
    setAt(w, 0, EVENT.InD, read && (access & EXEC) !== 0 ? 1 : 0);
    // a fault at any level of a stage-1 walk still has the class of the input; an aborted fetch that of the table
    setAt(w, 0, EVENT.CLASS, site.class);
    setAt(w, 0, EVENT.S2, site.s2 ? 1 : 0);
    // what stage 1 reads of its tables is never written: the unit has no HTTU
    if (event === EVENT_ID.F_PERMISSION && site.class === CLASS.TT) setAt(w, 0, EVENT.TTRnW, 1);
  }
  if (translation || event === EVENT_ID.F_TRANSL_FORBIDDEN) setAt(w, 0, EVENT.RnW, read ? 1 : 0);
  if (site.address >= 0) {
    w[6] = site.address >>> 0;
    w[7] = Math.floor(site.address / 0x1_0000_0000) & 0xfffff;
  }
}
