export { GUTS_COMPATIBLE, PAMU_COMPATIBLE, pamu, pamuNodes, type PamuNode } from './plugin.js';
export { Pamu } from './model/pamu.js';
export { Guts } from './model/guts.js';
export type { PamuOptions } from './model/options.js';
export { PamuUnit, type DriverOptions } from './driver/unit.js';
export { PamuTable } from './driver/table.js';
export {
  planGeometry,
  layOut,
  fits,
  slotOf,
  type Extent,
  type Geometry,
  type Layout,
  type Limits,
  type Misfit,
} from './driver/geometry.js';
export { PAMU_TABLES, PamuTables } from './driver/tables.js';
