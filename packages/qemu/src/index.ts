export { qemuAvailable, QEMU_VERSION, type QemuArch, type QemuAvailability } from './available.js';
export {
  startQ35,
  startVirt,
  startPpcE500,
  Q35,
  VIRT,
  E500,
  type LaunchOptions,
  type Q35Options,
  type VirtOptions,
} from './launch.js';
export { QemuMachine, type QemuLayout } from './machine.js';
export { lapicState, acknowledged, interruptAcknowledge, type LapicState } from './probes.js';
export { SharedRam } from './ram.js';
export { STUB, STUB_ADDRESS, LOG_ADDRESS, stubBytes } from './stub-arm.js';
export { serveQtest, type QtestServer } from './protocol/server.js';
export { QtestCommands } from './protocol/commands.js';
export type { QtestTarget } from './protocol/target.js';
export type { Endianness } from './transport/qtest.js';
export { PlatformTarget, type PlatformTargetOptions, type WiredInputs } from './protocol/platform-target.js';
export { EventLog, type DmaEvent, type DmaResult, type EventLogOptions } from './protocol/events.js';
export { FifoLine } from './transport/fifo.js';
export { QtestClient } from './transport/qtest.js';
