import type { Device } from '@doorbell/platform';
import { sameMessage, type MsiBlock } from '@doorbell/irqchip';
import type { Domain } from './domain.js';
import { cannotMoveLive } from './errors.js';
import type { MsiTranslator, WindowShare } from './translator.js';
import type { AttachTarget, IommuUnit } from './unit.js';

/** A device with the unit that sees it and its ids there. */
export interface Member {
  readonly device: Device;
  readonly unit: IommuUnit;
  readonly streams: readonly number[];
}

/**
 * Points the streams of all members at another target, each stream once. When a unit refuses, those already switched go back and its
 * error is thrown.
 */
export function switchStreams(members: readonly Member[], from: AttachTarget, to: AttachTarget): void {
  const done: { unit: IommuUnit; stream: number }[] = [];
  try {
    for (const { unit, streams } of members) {
      for (const stream of streams) {
        if (done.some((d) => d.unit === unit && d.stream === stream)) continue;
        unit.attach(stream, to);
        done.push({ unit, stream });
      }
    }
  } catch (error) {
    for (const { unit, stream } of done.reverse()) unit.attach(stream, from);
    throw error;
  }
}

/** One block's window pages in both domains. */
interface Transfer {
  readonly block: MsiBlock;
  readonly share: WindowShare;
  readonly pages: readonly number[];
  readonly changed: boolean;
}

export interface Move {
  readonly members: readonly Member[];
  readonly from: Domain;
  readonly to: Domain;
  blocksOf(device: Device): readonly MsiBlock[];
  translatorOf(device: Device): MsiTranslator | undefined;
  /** The core's own books: after it, `domainOf` answers with the new domain. */
  settle(): void;
}

/**
 * Everything is proven in the new domain first: doorbell pages are reserved and mapped there, and the messages compared. A device whose
 * messages stay and whose attach is hitless notices nothing; otherwise its vectors are held back around the switch and reprogrammed, and
 * what became pending meanwhile is sent afterwards.
 */
export function moveGroup(move: Move): void {
  const { members, from, to } = move;
  const transfers: Transfer[] = [];
  const toWindow = to.target === 'identity' ? null : to;
  const giveUp = () => {
    for (const t of transfers) toWindow?.releaseDoorbells(t.pages);
  };
  let held: MsiBlock[];
  try {
    for (const { device } of members) {
      const translator = move.translatorOf(device);
      if (!translator) continue;
      for (const block of move.blocksOf(device)) {
        const share = block.share<WindowShare>(translator);
        const pages = translator.plan(to, device, share.doorbells, block.request.addressBits);
        transfers.push({ block, share, pages, changed: messagesChange(translator, block, to) });
      }
    }
    const hitless = members.every((m) => m.streams.every((s) => m.unit.hitless(s, from.target, to.target)));
    held = transfers.filter((t) => t.changed || !hitless).map((t) => t.block);
    for (const block of held) {
      if (!block.owner?.canMask)
        throw cannotMoveLive(
          block.device.name,
          hitless
            ? 'their address would change, but they cannot be masked'
            : 'cannot mask them, and the switch is not hitless',
        );
    }
    for (const t of transfers) toWindow?.msiWindow?.commit(t.pages);
  } catch (error) {
    giveUp();
    throw error;
  }

  for (const block of held) block.owner!.maskAll();
  try {
    switchStreams(members, from.target, to.target);
  } catch (error) {
    for (const block of held) block.owner!.unmaskAll();
    giveUp();
    throw error;
  }
  move.settle();
  for (const t of transfers) {
    const old = { domain: t.share.domain, pages: t.share.pages };
    t.share.domain = toWindow;
    t.share.pages = t.pages;
    if (t.changed) t.block.owner!.rewrite();
    old.domain?.releaseDoorbells(old.pages);
  }
  for (const block of held) block.owner!.unmaskAll();
}

function messagesChange(translator: MsiTranslator, block: MsiBlock, to: Domain): boolean {
  for (let i = 0; i < block.count; i++) {
    const now = block.message(i);
    const then = translator.previewing(block.device, to, () => block.message(i));
    if (!sameMessage(now, then)) return true;
  }
  return false;
}
