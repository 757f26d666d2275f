import Table from 'cli-table3';
import { pc } from '../report/colors.js';
import { loadConfig } from '../config.js';
import { EXIT } from '../exit.js';
import { complain, print } from '../output.js';
import { PLAIN } from '../report/table.js';

/** `doorbell plugins`: what the configuration exports. */
export async function plugins(options: { json?: boolean; config?: string }): Promise<number> {
  let config;
  try {
    config = await loadConfig(options.config);
  } catch (error) {
    complain(error instanceof Error ? error.message : String(error));
    return EXIT.usage;
  }
  const rows = config.plugins.map(({ name, package: from, role, compatible, judgedBy }) => ({
    name,
    package: from,
    role,
    compatible,
    judgedBy,
  }));
  if (options.json) {
    print(JSON.stringify(rows));
    return EXIT.ok;
  }
  print(pc.dim(config.file === null ? 'no doorbell.config.js from here upward' : `configured in ${config.file}`));
  if (rows.length === 0) print('no plugins');
  else {
    const table = new Table({
      ...PLAIN,
      head: ['plugin', 'role', 'models', 'judged by', 'package'].map((h) => pc.bold(h)),
    });
    for (const r of rows) table.push([r.name, r.role, r.compatible.join(', '), r.judgedBy.join(', '), r.package]);
    print(table.toString());
  }
  return EXIT.ok;
}
