import picocolors from 'picocolors';

const { env, stdout } = process;
const wanted =
  env['FORCE_COLOR'] === undefined || env['FORCE_COLOR'] === ''
    ? stdout.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb'
    : env['FORCE_COLOR'] !== '0';

/**
 * Colours for a terminal, none in a pipe or a file. picocolors' own guess also colours whatever a CI machine (`CI=1`)
 * pipes, which a reader of the output must not have to strip; `FORCE_COLOR` asks for that.
 */
export const pc = picocolors.createColors(wanted);
