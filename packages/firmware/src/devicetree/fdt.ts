import { FirmwareError } from '../errors.js';
import type { Findings } from '../findings/index.js';
import { TreeNode, type Tree } from './tree.js';

const MAGIC = 0xd00dfeed;
const BEGIN_NODE = 1;
const END_NODE = 2;
const PROP = 3;
const NOP = 4;
const END = 9;
/** Deeper nesting than any real tree; a limit for damaged ones. */
const MAX_DEPTH = 64;
const latin1 = new TextDecoder('latin1');

/** True if the file starts like a flattened device tree. */
export const isFdt = (data: Uint8Array): boolean =>
  data.length >= 4 && data[0] === 0xd0 && data[1] === 0x0d && data[2] === 0xfe && data[3] === 0xed;

/**
 * Reads a flattened device tree (Devicetree Specification chapter 5, version 16 or 17; big-endian).
 * Errors: `FirmwareError` with the byte offset: half a tree would hide what is connected to what, so there is none.
 */
export function readFdt(file: string, data: Uint8Array, findings: Findings): Tree {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const fail = (offset: number, problem: string): never => {
    throw new FirmwareError(file, { offset }, problem, 'copy the tree again, for instance from /sys/firmware/fdt');
  };
  if (data.length < 40) fail(data.length, 'a flattened device tree has a header of 40 bytes, this file ends before');
  const u32 = (at: number): number => view.getUint32(at);
  if (u32(0) !== MAGIC) fail(0, `magic ${u32(0).toString(16)} is not d00dfeed`);
  const total = u32(4);
  if (total > data.length) fail(data.length, `the tree has ${total} bytes, the file ends after ${data.length}`);
  const version = u32(20);
  if (u32(24) > 17 || version < 16) fail(20, `version ${version} (compatible with ${u32(24)}); 16 and 17 are known`);
  const [structAt, stringsAt] = [u32(8), u32(12)];
  const stringsEnd = stringsAt + u32(32);
  const structEnd = version >= 17 ? structAt + u32(36) : total;
  if (total < 40) fail(4, `total size ${total} is less than the header's 40`);
  if (structAt % 4 !== 0 || structAt < 40 || structEnd > total)
    fail(8, `the structure block ${structAt}–${structEnd} is not inside ${total} bytes`);
  if (stringsAt < 40 || stringsEnd > total)
    fail(12, `the strings block ${stringsAt}–${stringsEnd} is not inside ${total} bytes`);
  if (total < data.length)
    findings.add('DT_TRAILING_BYTES', `${data.length - total} bytes stand behind the tree's ${total}`, {
      table: file,
      offset: total,
    });

  const text = (from: number, end: number, what: string): string => {
    let at = from;
    while (at < end && data[at] !== 0) at++;
    if (at >= end) fail(from, `${what} has no end`);
    return latin1.decode(data.subarray(from, at));
  };
  const names = new Map<number, string>();
  const propertyName = (at: number, nameAt: number): string => {
    let name = names.get(nameAt);
    if (name === undefined) {
      if (stringsAt + nameAt >= stringsEnd) fail(at, `property name at ${nameAt} lies outside the strings block`);
      name = text(stringsAt + nameAt, stringsEnd, 'a property name');
      names.set(nameAt, name);
    }
    return name;
  };

  let root: TreeNode | null = null;
  let node: TreeNode | null = null;
  let depth = 0;
  let at = structAt;
  for (;;) {
    if (at + 4 > structEnd) fail(at, 'the structure block ends without its end token');
    const token = u32(at);
    if (token === END) break;
    if (token === NOP) at += 4;
    else if (token === BEGIN_NODE) {
      const name = text(at + 4, structEnd, 'a node name');
      if (root !== null && node === null) fail(at, 'a second root node');
      if (++depth > MAX_DEPTH) fail(at, `nodes are nested deeper than ${MAX_DEPTH}`);
      const child: TreeNode = new TreeNode(name, node, at);
      node?.children.push(child);
      root ??= child;
      node = child;
      at = (at + 4 + name.length + 1 + 3) & ~3;
    } else if (token === END_NODE) {
      if (node === null) fail(at, 'a node ends that never began');
      node = node!.parent;
      depth--;
      at += 4;
    } else if (token === PROP) {
      if (node === null) fail(at, 'a property outside any node');
      if (at + 12 > structEnd) fail(at, 'the structure block ends inside a property');
      const size = u32(at + 4);
      if (at + 12 + size > structEnd)
        fail(at + 4, `a property of ${size} bytes runs over the end of the structure block`);
      const name = propertyName(at + 8, u32(at + 8));
      if (!node!.properties.has(name))
        node!.properties.set(name, { offset: at, value: data.subarray(at + 12, at + 12 + size) });
      at = (at + 12 + size + 3) & ~3;
    } else fail(at, `token ${token} is none of a tree's`);
  }
  if (node !== null) fail(at, `node ${node.path} never ends`);
  if (root === null) fail(at, 'the tree has no root node');
  return { file, root: root! };
}
