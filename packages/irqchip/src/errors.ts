import { DoorbellError } from '@doorbell/platform';

export const noSuchCpu = (root: string, cpu: number, cpus: readonly number[]): DoorbellError =>
  new DoorbellError('NO_SUCH_CPU', `${root} cannot interrupt CPU ${cpu}`, `choose one of ${cpus.join(', ')}`, {
    cpu,
    cpus,
  });
