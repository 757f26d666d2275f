import { Command, CommanderError } from 'commander';
import type { ExplainOptions } from './commands/explain.js';
import type { NewOptions } from './commands/new.js';
import type { RunOptions } from './commands/run.js';
import type { ServeOptions } from './commands/serve.js';
import { EXIT } from './exit.js';
import { withoutPipeErrors } from './output.js';

/**
 * The `doorbell` command. Command modules are loaded when they run, so help starts fast; to add one, write
 * `src/commands/NAME.ts` with a `register(program)` twin here that only declares arguments and options.
 */
export function buildProgram(): Command {
  const program = new Command('doorbell')
    .description('Platforms with IOMMUs, interrupt controllers and PCI: see and explain what a DMA or an MSI does')
    .version('0.1.0')
    .showHelpAfterError('(doorbell --help lists the commands, doorbell help COMMAND explains one)')
    .addHelpText(
      'after',
      `
Exit codes:
  0  as asked
  1  the answer is a failure: a fault, a blocked message, a finding of severity error
  2  bad usage or unreadable input (one line on stderr names the file and the place)

Examples:
  doorbell collect > collect.sh          how to copy a machine's tables
  doorbell machine my-laptop/            what they say, and what is wrong with them
  doorbell machine machines/* --json     one JSON object per machine
  doorbell run my-laptop/                every MSI that it can send, followed to the CPU
  doorbell explain CAPTURE dma 00:04.0 0xfff8f000    where that DMA goes, and why`,
    );

  program
    .command('machine')
    .summary("what a machine's firmware says, and what is wrong with it")
    .description(
      'Reads ACPI tables (DMAR, IVRS, IORT, APIC, MCFG), a device tree or an lspci dump and prints IOMMUs, MSI controllers, reserved memory, id mappings, functions, isolation groups and findings.',
    )
    .argument('<input...>', 'machine directories, *.dtb files, lspci dumps or single ACPI tables')
    .option('--json', 'one JSON object per input, one per line')
    .option('--all', 'every row and every finding, where the report would shorten')
    .addHelpText(
      'after',
      `
A directory holds DMAR.dat, APIC.dat, MCFG.dat … (in it or in its acpi/), *.dtb and pci.txt; acpidump's text and gzipped
files do as well. doorbell collect prints the lines that gather one.

Exit codes:
  0  read, and no finding is an error
  1  a finding is an error: docs/findings.md says what each code means
  2  an input could not be read; the others are answered`,
    )
    .action(async (inputs: string[], options: { json?: boolean; all?: boolean }) => {
      process.exitCode = await (await import('./commands/machine.js')).machine(inputs, options);
    });

  program
    .command('run')
    .summary("builds a machine's platform and follows every MSI through it")
    .description(
      'Builds the platform that tables, tree or dump describe (or takes a PLATFORM.js), enables the MSIs of each function by the one call, lets the function send every vector, and follows each message hop by hop to the CPU.',
    )
    .argument('<input...>', 'machine directories, *.dtb files, lspci dumps or platform modules')
    .option('--device <bdf>', 'only this function: 0000:00:04.0 or 00:04.0')
    .option('--vectors <n>', 'at most this many vectors per function')
    .option('--window <base+size>', 'where the window for MSIs goes, as 0x8000000+0x100000')
    .option('--json', 'one JSON object per input, one per line')
    .option('--all', 'every vector and every hop, where the report would shorten')
    .option('--tour', 'all inputs side by side, then a failure that changes nothing and a forgery on each')
    .option('--config <file>', 'this configuration instead of the nearest doorbell.config.js')
    .addHelpText(
      'after',
      `
Without a PCI dump, test functions stand in where the tables say that functions may be; the report marks them.

Exit codes:
  0  every message arrived
  1  something failed; each failure has a code, as NO_BACKEND for a unit that no plugin models (docs/errors.md)
  2  bad usage or unreadable input; the other inputs are answered`,
    )
    .action(async (inputs: string[], options: RunOptions) => {
      process.exitCode = await (await import('./commands/run.js')).run(inputs, options);
    });

  program
    .command('explain')
    .summary('where a DMA or an MSI goes, step by step, and why')
    .description(
      'Asks a capture directory, a snapshot, a machine directory (as after `doorbell run`) or a PLATFORM.js.\n  doorbell explain WHAT dma REQUESTER IOVA [--write]\n  doorbell explain WHAT msi REQUESTER ADDRESS DATA\n  doorbell explain WHAT --batch FILE.jsonl --json\nREQUESTER is a function (00:04.0), "ioapic", or a requester or stream id as a hex string (0x20).',
    )
    .argument('<what>', 'capture directory, snapshot file, machine directory or platform module')
    .argument('[question...]', 'dma REQUESTER IOVA, or msi REQUESTER ADDRESS DATA')
    .option('--write', 'the DMA writes (otherwise it reads)')
    .option('--execute', 'the DMA fetches instructions')
    .option('--pasid <n>', 'the DMA carries a PASID (SubstreamID)')
    .option('--batch <file>', 'one question per line, as JSON; - reads standard input')
    .option('--json', 'one JSON object per question, one per line')
    .option('--config <file>', 'this configuration instead of the nearest doorbell.config.js')
    .action(async (what: string, question: string[], options: ExplainOptions) => {
      process.exitCode = await (await import('./commands/explain.js')).explain(what, question, options);
    });

  program
    .command('snapshot')
    .summary('a capture without its memory: only what decides about DMA and MSIs')
    .description(
      'Keeps IOMMU tables, interrupt tables, registers and the ids of PCI functions, and no user data: tens of kB that answer\n`doorbell explain` as the capture does. Equal captures give equal files.',
    )
    .argument('<capture>', 'capture directory')
    .requiredOption('-o, --output <file>', 'file to write; gzipped unless it ends in .json')
    .option('--json', 'a JSON object that says what was written')
    .option('--config <file>', 'this configuration instead of the nearest doorbell.config.js')
    .action(async (capture: string, options: { output: string; config?: string; json?: boolean }) => {
      process.exitCode = await (await import('./commands/snapshot.js')).snapshot(capture, options);
    });

  program
    .command('serve')
    .summary("a board as hardware for test clients written for QEMU's qtest")
    .description(
      'Connects to the UNIX socket on which a qtest client listens, as QEMU does with -qtest unix:PATH, and answers its commands from our models. No driver of ours runs: the client is the software. Ends when the client hangs up.',
    )
    .argument('<board>', 'q35-vtd, virt-smmuv3, or a platform module (as it is after its set-up)')
    .requiredOption('--qtest <unix:path>', 'the socket on which the client listens')
    .option(
      '--device <string>',
      "QEMU's spelling, may repeat: edu,addr=6.0 · intel-iommu,aw-bits=39,caching-mode=on · pcie-root-port,id=rp0,addr=2.0 · edu,bus=rp0",
      (text: string, before: string[] = []) => [...before, text],
    )
    .option('--events <file>', 'append a JSON line per delivered interrupt, recorded fault and DMA')
    .option('--config <file>', 'this configuration instead of the nearest doorbell.config.js')
    .addHelpText(
      'after',
      `
Devices: edu (the first one replaces the default at 00:05.0, on virt 00:04.0), intel-iommu (q35), pcie-root-port,
pcie-pci-bridge, pci-bridge, x3130-upstream, xio3130-downstream; bus= names the id of a bridge that came before.

Exit codes:
  0  the client hung up
  2  unknown board, device or property, or nobody listens on the socket`,
    )
    .action(async (board: string, options: ServeOptions) => {
      process.exitCode = await (await import('./commands/serve.js')).serve(board, options);
    });

  program
    .command('collect')
    .summary('how to gather a machine directory on Linux')
    .description(
      'Prints the shell lines that copy what `doorbell machine` reads from a running Linux, and what each is for.',
    )
    .argument('[dir]', 'directory that the lines fill', 'my-machine')
    .action(async (dir: string) => {
      process.exitCode = (await import('./commands/collect.js')).collect(dir);
    });

  const create = program
    .command('new')
    .summary('a package for a plugin of your own')
    .description('Creates a package that installs, builds and passes the conformance kit before its first edit.');
  for (const [kind, what] of [
    ['plugin', 'an IOMMU: spec, model, driver, plugin, conformance test'],
    ['irqchip', 'an interrupt controller: the same'],
  ] as const) {
    create
      .command(kind)
      .description(what)
      .argument('<name>', 'lower-case letters, digits and dashes: my-iommu')
      .option('--dir <dir>', 'where to; default: packages/NAME in a checkout, else NAME')
      .option('--from <dir>', 'take the @doorbell packages from here: npm pack tarballs, or a checkout')
      .action(async (name: string, options: NewOptions) => {
        process.exitCode = (await import('./commands/new.js')).create(kind, name, options);
      });
  }

  program
    .command('plugins')
    .summary('the plugins that are configured')
    .description("Lists what doorbell.config.js exports: the nearest one from here upward, else Doorbell's own.")
    .option('--json', 'a JSON array')
    .option('--config <file>', 'this configuration instead')
    .action(async (options: { json?: boolean; config?: string }) => {
      process.exitCode = await (await import('./commands/plugins.js')).plugins(options);
    });
  return program;
}

/** Runs one command line (without node and script). Sets `process.exitCode`; never throws for a user's mistake. */
export async function main(argv: readonly string[] = process.argv.slice(2)): Promise<void> {
  withoutPipeErrors();
  const program = buildProgram();
  for (const command of [program, ...program.commands, ...program.commands.flatMap((c) => c.commands)])
    command.exitOverride();
  try {
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version end with 0; everything else that commander throws is bad usage, already printed.
      process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
      return;
    }
    process.stderr.write(`doorbell: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = EXIT.usage;
  }
}
