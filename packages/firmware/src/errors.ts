import { DoorbellError } from '@doorbell/platform';

/**
 * `UNREADABLE_INPUT`: a file is not what its name or place says, or is damaged so that nothing in it can be trusted.
 * Damage that leaves the rest readable is a finding instead. `offset` is a byte offset, or for text a `line` (from 1). `file`: null for the whole input.
 */
export class FirmwareError extends DoorbellError {
  constructor(
    readonly file: string | null,
    where: { readonly offset: number } | { readonly line: number } | null,
    problem: string,
    remedy: string,
  ) {
    const place = where === null ? '' : 'offset' in where ? `: byte ${where.offset}` : `: line ${where.line}`;
    const whose = file === null ? '' : `${file}${place}: `;
    super('UNREADABLE_INPUT', `${whose}${problem}`, remedy, { file, ...where });
  }
}
